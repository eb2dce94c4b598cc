/** Every named evaluation, in the order it runs. The data of each lies in the folder of its name. */
import { asd } from './asd.ts';
import { cloudmon } from './cloudmon.ts';
import { ewsAnoxia } from './ews-anoxia.ts';
import { ewsChickHeart } from './ews-chick-heart.ts';
import { ewsPaleoclimate } from './ews-paleoclimate.ts';
import { ewsThermoacoustic } from './ews-thermoacoustic.ts';
import type { EvaluationSet } from './figure.ts';
import { fluxOpenfoam } from './flux-openfoam.ts';
import { gentd26 } from './gentd26.ts';
import { nab } from './nab.ts';
import { pde1d } from './pde1d.ts';
import { radarFmi } from './radar-fmi.ts';
import { smd } from './smd.ts';
import { wakeCylinder } from './wake-cylinder.ts';

export const evaluationSets: readonly EvaluationSet[] = [
  smd,
  asd,
  nab,
  cloudmon,
  gentd26,
  fluxOpenfoam,
  pde1d,
  radarFmi,
  wakeCylinder,
  ewsPaleoclimate,
  ewsAnoxia,
  ewsThermoacoustic,
  ewsChickHeart,
];
