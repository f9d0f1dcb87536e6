// What the page does beyond HTML: the reader's time zone, filters that apply at once, loading again.
"use strict";
(() => {
  const two = (n) => String(n).padStart(2, "0");
  const day = (d) => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  const month = new Intl.DateTimeFormat("en", { month: "short" });
  const clock = (d) => `${two(d.getHours())}:${two(d.getMinutes())}`;
  const local = (d, detail) => (detail === "short" ? `${d.getDate()} ${month.format(d)} ${clock(d)}` : `${day(d)} ${clock(d)}:${two(d.getSeconds())}`);

  function times() {
    for (const element of document.querySelectorAll("time[datetime]")) {
      element.textContent = local(new Date(element.dateTime), element.dataset.detail);
    }
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "this device";
    for (const element of document.querySelectorAll("[data-zone]")) {
      element.textContent = `Times are in the zone of this device (${zone}); point at one to see it in UTC.`;
    }
  }

  // The fields of a custom time show the reader's zone and send UTC.
  function customTimes() {
    for (const form of document.querySelectorAll("form[data-local-times]")) {
      for (const input of form.querySelectorAll("input[type=datetime-local]")) {
        const at = new Date(`${input.value}Z`);
        input.value = `${day(at)}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
      }
      for (const name of form.querySelectorAll("[data-zone-name]")) name.textContent = "";
      form.addEventListener("formdata", (event) => {
        for (const name of ["from", "to"]) {
          const at = new Date(event.formData.get(name));
          if (!Number.isNaN(at.getTime())) event.formData.set(name, at.toISOString().replace(".000", ""));
        }
      });
    }
  }

  // Empty fields stay out of the address.
  function filters() {
    for (const form of document.querySelectorAll("form.fields")) {
      form.addEventListener("formdata", (event) => {
        for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
      });
      form.addEventListener("change", (event) => {
        if (event.target.matches("[data-apply]")) form.requestSubmit();
      });
    }
    const wide = matchMedia("(min-width: 701px)");
    const open = () => document.querySelectorAll("[data-wide-open]").forEach((details) => { details.open = wide.matches; });
    wide.addEventListener("change", open);
    open();
  }

  // One pop-over at a time; Escape and a click elsewhere close it.
  function popOvers() {
    const all = () => document.querySelectorAll("details.pop-over[open], details.about[open]");
    document.addEventListener("click", (event) => {
      for (const details of all()) if (!details.contains(event.target)) details.open = false;
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      for (const details of all()) {
        details.open = false;
        details.querySelector("summary").focus();
      }
    });
  }

  // Not while somebody writes, looks elsewhere, or has opened something.
  function refresh() {
    const seconds = Number(document.body.dataset.refresh || 0);
    if (!seconds) return;
    setInterval(() => {
      const busy = document.hidden || document.querySelector("details.pop-over[open]") || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName);
      if (!busy) location.reload();
    }, seconds * 1000);
  }

  document.documentElement.dataset.js = "yes";
  times();
  customTimes();
  filters();
  popOvers();
  refresh();
})();
