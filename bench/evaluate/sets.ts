/** Every named evaluation, in the order it runs. The data of each lies in the folder of its name. */
import { asd } from './asd.ts';
import { ewsAnoxia } from './ews-anoxia.ts';
import { ewsChickHeart } from './ews-chick-heart.ts';
import { ewsPaleoclimate } from './ews-paleoclimate.ts';
import { ewsThermoacoustic } from './ews-thermoacoustic.ts';
import type { EvaluationSet } from './figure.ts';
import { gentd26 } from './gentd26.ts';
import { smd } from './smd.ts';

export const evaluationSets: readonly EvaluationSet[] = [
  smd,
  asd,
  gentd26,
  ewsPaleoclimate,
  ewsAnoxia,
  ewsThermoacoustic,
  ewsChickHeart,
];
