/** The Application Server Dataset: six servers, 19 metrics every five minutes (Li and others, KDD 2021). */
import type { EvaluationSet } from './figure.ts';
import { evaluateIncidents } from './incident-detection.ts';

export const asd: EvaluationSet = {
  name: 'asd',
  measures:
    'labelled incidents of six application servers found by the surprise of their maps, learned online',
  run: (folder, context) =>
    evaluateIncidents(folder, { areaUnderRoc: undefined, attribution: undefined }, context),
};
