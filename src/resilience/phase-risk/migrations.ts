/**
 * The tables of early warnings, step by step: `resilience_detector`, `thermodynamic_metrics` and
 * `phase_transition_signals`. Columns of figures that nothing computes yet are null in every row.
 */
import type { Migration } from '../../store/store.ts';

/** The schema; named as the context's other steps are. */
export const riskMigrations: readonly Migration[] = [
  {
    id: 'resilience_003_detector',
    up: async (schema, types) => {
      await schema
        .createTable('resilience_detector')
        .addColumn('domain', types.text, (column) => column.notNull())
        .addColumn('cluster', types.text, (column) => column.notNull())
        .addColumn('feed', types.text, (column) => column.notNull())
        .addColumn('state', types.text, (column) => column.notNull())
        .addColumn('updated_at', types.integer, (column) => column.notNull())
        .addPrimaryKeyConstraint('resilience_detector_key', ['domain', 'cluster', 'feed'])
        .execute();
    },
  },
  {
    id: 'resilience_004_phase_risk',
    up: async (schema, types) => {
      let metrics = schema
        .createTable('thermodynamic_metrics')
        .addColumn('id', types.text, (column) => column.primaryKey())
        .addColumn('place', types.integer, (column) => column.notNull())
        .addColumn('timestamp', types.integer, (column) => column.notNull())
        .addColumn('recorded_at', types.integer, (column) => column.notNull())
        .addColumn('domain', types.text, (column) => column.notNull())
        .addColumn('cluster', types.text, (column) => column.notNull())
        .addColumn('phase_transition_severity', types.text)
        .addColumn('computed_by', types.text, (column) => column.notNull())
        .addColumn('notes', types.text)
        .addColumn('assessment', types.bytes, (column) => column.notNull());
      for (const figure of [
        'node_entropy',
        'class_entropy',
        'joint_entropy',
        'mutual_information',
        'entropy_production_rate',
        'free_energy',
        'internal_energy',
        'effective_temperature',
        'time_to_transition',
        'confidence',
      ])
        metrics = metrics.addColumn(figure, types.real);
      await metrics.execute();
      const index = (name: string, table: string, columns: string[]) =>
        schema.createIndex(name).on(table).columns(columns);
      await index('thermodynamic_metrics_place', 'thermodynamic_metrics', ['place']).unique().execute();
      await index('thermodynamic_metrics_recorded_at', 'thermodynamic_metrics', ['recorded_at']).execute();
      await index('thermodynamic_metrics_cell', 'thermodynamic_metrics', [
        'domain',
        'cluster',
        'place',
      ]).execute();
      await schema
        .createTable('phase_transition_signals')
        .addColumn('id', types.text, (column) => column.primaryKey())
        .addColumn('metric_id', types.text, (column) =>
          column.notNull().references('thermodynamic_metrics.id').onDelete('cascade'),
        )
        .addColumn('detected_at', types.integer, (column) => column.notNull())
        .addColumn('signal_type', types.text, (column) => column.notNull())
        .addColumn('metric_name', types.text, (column) => column.notNull())
        .addColumn('severity', types.text, (column) => column.notNull())
        .addColumn('value', types.real, (column) => column.notNull())
        .addColumn('threshold', types.real, (column) => column.notNull())
        .addColumn('p_value', types.real, (column) => column.notNull())
        .addColumn('p_adjusted', types.real, (column) => column.notNull())
        .addColumn('description', types.text, (column) => column.notNull())
        .execute();
      await index('phase_transition_signals_metric', 'phase_transition_signals', ['metric_id']).execute();
      await index('phase_transition_signals_severity', 'phase_transition_signals', ['severity']).execute();
    },
  },
];
