/** The Server Machine Dataset: three machines, 38 metrics a minute (Su and others, KDD 2019). */
import type { EvaluationSet } from './figure.ts';
import { evaluateIncidents } from './incident-detection.ts';

export const smd: EvaluationSet = {
  name: 'smd',
  measures: 'labelled incidents of three servers found by the surprise of their maps, learned online',
  run: (folder, context) => evaluateIncidents(folder, { areaUnderRoc: 0.85, attribution: 0.8 }, context),
};
