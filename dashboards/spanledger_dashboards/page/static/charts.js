// Draws the charts of a page with uPlot. Texts go into the page as text, never as HTML.
"use strict";
(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const scaled = (v, steps, digits) => {
    for (const [size, name] of steps) if (Math.abs(v) >= size) return trim(v / size, digits) + name;
    return null;
  };
  const trim = (v, digits) => {
    const whole = Math.abs(v) >= 100 ? 0 : digits;
    return v.toLocaleString("en-US", { maximumFractionDigits: whole });
  };
  const SHORT = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const BYTES = [[2 ** 40, " TiB"], [2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"]];
  const number = (v) => scaled(v, SHORT, 1) ?? v.toLocaleString("en-US", { maximumSignificantDigits: 4 });
  const cents = (v) => (v === 0 || Math.abs(v) >= 1 ? 2 : Math.min(9, Math.max(2, 1 - Math.floor(Math.log10(Math.abs(v))))));
  const time = (s) => (s >= 7200 ? `${trim(s / 3600, 1)} h` : s >= 120 ? `${trim(s / 60, 1)} min` : `${trim(s, 2)} s`);
  const FORMATS = {
    usd: (v) => (Math.abs(v) >= 1e4 ? `$${number(v)}` : `$${v.toFixed(cents(v))}`),
    ms: (v) => (v >= 1000 ? time(v / 1000) : `${trim(v, 1)} ms`),
    s: time,
    share: (v) => `${trim(v * 100, 1)} %`,
    score: (v) => v.toFixed(2),
    bytes: (v) => scaled(v, BYTES, 1) ?? `${trim(v, 0)} B`,
    number, text: number, time: number,
  };
  const format = (unit) => FORMATS[unit] ?? ((v) => `${number(v)} ${unit}`);
  const axisFormat = (unit) => FORMATS[unit] ?? number;

  // Step, text, and what is added where the year, month, day... changes.
  const TIMES = [
    [31536000, "{YYYY}", null, null, null, null, null, null, 1],
    [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  ];

  function stacked(chart) {
    const sums = new Array(chart.x.length).fill(0);
    return chart.series.map((one) => (one.stacked ? one.values.map((v, i) => (sums[i] += v ?? 0)) : one.values));
  }

  function seriesOf(one) {
    const colour = css(one.colour);
    const base = { label: one.label, scale: one.right ? "right" : "y", stroke: colour, width: 1.75, points: { size: 4, fill: colour } };
    if (one.look === "hidden") return { ...base, show: false };
    if (one.stacked || one.look === "bars") return { ...base, fill: colour, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.82, 60], gap: 0 }) };
    if (one.look === "dashes") return { ...base, dash: [6, 4], points: { show: false } };
    if (one.look === "points") return { ...base, paths: () => null, points: { show: true, size: 7, fill: colour } };
    return base;
  }

  function marks(chart) {
    return (u) => {
      const { ctx } = u;
      const { left, top, width, height } = u.bbox;
      ctx.save();
      for (const limit of chart.thresholds) {
        const y = u.valToPos(limit.at, "y", true);
        if (y < top || y > top + height) continue;
        ctx.strokeStyle = css(limit.colour);
        ctx.globalAlpha = 0.55;
        ctx.setLineDash([3, 5]);
        ctx.beginPath();
        ctx.moveTo(left, y);
        ctx.lineTo(left + width, y);
        ctx.stroke();
      }
      ctx.setLineDash([]);
      for (const mark of chart.marks) {
        const x = u.valToPos(mark.from, "x", true);
        const end = mark.to === null ? x : u.valToPos(mark.to, "x", true);
        if (end < left || x > left + width) continue;
        ctx.fillStyle = ctx.strokeStyle = css(mark.colour);
        ctx.globalAlpha = 0.12;
        const from = Math.max(x, left);
        ctx.fillRect(from, top, Math.min(end, left + width) - from, height);
        ctx.globalAlpha = 0.8;
        if (x >= left) ctx.fillRect(x, top, Math.max(1, devicePixelRatio), height);
      }
      ctx.restore();
    };
  }

  function tooltip(chart) {
    let box;
    const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
    const line = (left, right) => {
      const row = document.createElement("div");
      for (const text of [left, right]) row.appendChild(document.createElement("span")).textContent = text;
      return row;
    };
    const fill = (u, at) => {
      const title = document.createElement("b");
      title.textContent = moment.format(new Date(chart.x[at] * 1000));
      box.replaceChildren(title);
      const rows = chart.series.filter((one) => one.values[at] !== null && one.look !== "hidden");
      for (const one of rows.slice(0, 14)) box.appendChild(line(one.label, format(one.unit)(one.values[at])));
      const parts = rows.filter((one) => one.stacked);
      if (parts.length > 1) box.appendChild(line("all", format(chart.unit)(parts.reduce((sum, one) => sum + one.values[at], 0))));
      const near = (u.scales.x.max - u.scales.x.min) / 80;
      for (const mark of chart.marks) if (Math.abs(mark.from - chart.x[at]) < near) box.appendChild(line("●", mark.text.slice(0, 60)));
    };
    return {
      init: (u) => {
        box = u.over.appendChild(document.createElement("div"));
        box.className = "tip";
        box.hidden = true;
      },
      setCursor: (u) => {
        const at = u.cursor.idx;
        box.hidden = at === null || at === undefined || u.cursor.left < 0;
        if (box.hidden) return;
        fill(u, at);
        const right = u.cursor.left > u.over.clientWidth / 2;
        box.style.top = "4px";
        box.style.left = right ? "" : `${u.cursor.left + 14}px`;
        box.style.right = right ? `${u.over.clientWidth - u.cursor.left + 14}px` : "";
      },
    };
  }

  function options(chart, element, order) {
    const grid = { stroke: css("line"), width: 1 };
    const font = "12px system-ui, sans-serif";
    const axis = { stroke: css("soft"), font, grid, ticks: { ...grid, size: 4 } };
    const values = (unit) => ({ ...axis, size: 62, space: 34, values: (_, ticks) => ticks.map((v) => (v === null ? "" : axisFormat(unit)(v))) });
    const right = chart.series.find((one) => one.right);
    const top = (_, low, high) => {
      const end = chart.max ?? (high > 0 ? high * 1.06 : low < 0 ? 0 : 1);
      return [Math.min(0, low ?? 0), Math.max(end, chart.max === null ? 0 : high)];
    };
    return {
      width: element.clientWidth,
      height: element.clientHeight || 200,
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { show: chart.kind !== "bars" } },
      scales: { x: { time: true, range: () => [chart.from, chart.to] }, y: { range: top }, right: { range: top } },
      axes: [{ ...axis, space: 74, values: TIMES }, values(chart.unit), ...(right ? [{ ...values(right.unit), scale: "right", side: 1, grid: { show: false } }] : [])],
      series: [{}, ...order.map((place) => seriesOf(chart.series[place]))],
      bands: order.flatMap((place, at) => (chart.series[place].look === "band" && at ? [{ series: [at + 1, at], fill: `${css(chart.series[place].colour)}33` }] : [])),
      hooks: { drawAxes: [marks(chart)], ...Object.fromEntries(Object.entries(tooltip(chart)).map(([name, hook]) => [name, [hook]])), setSelect: [zoom] },
    };
  }

  // A stretch that was drawn with the pointer becomes the period of the page.
  function zoom(u) {
    if (u.select.width < 8) return;
    const address = new URL(location.href);
    const at = (x) => new Date(Math.round(u.posToVal(x, "x")) * 1000).toISOString().replace(".000", "");
    address.searchParams.delete("range");
    address.searchParams.set("from", at(u.select.left));
    address.searchParams.set("to", at(u.select.left + u.select.width));
    location.assign(address);
  }

  const drawn = new Map();

  function draw(element) {
    const chart = JSON.parse(document.getElementById(element.dataset.chart).textContent);
    const sums = stacked(chart);
    // The highest sums first: lower ones are painted over them, and lines over all.
    const places = chart.series.map((_, place) => place);
    const order = [...places.filter((place) => chart.series[place].stacked).reverse(), ...places.filter((place) => !chart.series[place].stacked)];
    const data = [chart.x, ...order.map((place) => sums[place])];
    drawn.get(element)?.destroy();
    drawn.set(element, new uPlot(options(chart, element, order), data, element));
  }

  const all = () => document.querySelectorAll("[data-chart]").forEach(draw);
  const sized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const plot = drawn.get(target);
      if (plot && plot.width !== target.clientWidth) plot.setSize({ width: target.clientWidth, height: target.clientHeight || 200 });
    }
  });
  all();
  document.querySelectorAll("[data-chart]").forEach((element) => sized.observe(element));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  document.documentElement.dataset.drawn = "yes";
})();
