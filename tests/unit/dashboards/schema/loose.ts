// The types as JSON has them: a string where the code of Grafana has an enumeration of strings.
import type { AnnotationQuery, Dashboard, DataQuery, Panel } from '@grafana/schema';
import type { Options as BarGaugeOptions } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type { Options as HeatmapOptions, FieldConfig as HeatmapField } from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as StateOptions, FieldConfig as StateField } from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type { Options as TableOptions, FieldConfig as TableField } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type { Options as SeriesOptions, FieldConfig as SeriesField } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

export type Json<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends Array<infer U> ? Array<Json<U>> : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

// Without the index signatures that would let any key pass.
type Known<T> = { [K in keyof T as string extends K ? never : K]: T[K] };
type Of<Options, Field> = Json<Omit<Known<Panel>, 'options' | 'fieldConfig' | 'type'> & { type: string; options: Options; fieldConfig: {
  defaults: Omit<Known<NonNullable<Panel['fieldConfig']>['defaults']>, 'custom'> & { custom: Field };
  overrides: NonNullable<Panel['fieldConfig']>['overrides'];
} }>;

export type StatPanel = Of<StatOptions, {}>;
export type TimeseriesPanel = Of<SeriesOptions, SeriesField>;
export type TablePanel = Of<TableOptions, TableField>;
export type BargaugePanel = Of<BarGaugeOptions, {}>;
export type HeatmapPanel = Of<HeatmapOptions, HeatmapField>;
export type StatetimelinePanel = Of<StateOptions, StateField>;

// What our data source is asked for annotations is its own affair, as it is in the targets of panels.
type Annotation = AnnotationQuery<DataQuery & { editorMode: string; format: string; rawQuery: boolean; rawSql: string }>;
export type Whole = Json<Omit<Dashboard, 'annotations'> & { annotations: { list: Annotation[] } }>;
