/** Student's t and the comparison of forecasters. Reference values: SciPy 1.17 (stats.t.sf, special.betainc). */
import { describe, expect, test } from '@jest/globals';
import { dieboldMariano } from '../../src/numeric/diebold-mariano.ts';
import { incompleteBeta, studentTail } from '../../src/numeric/student.ts';
import { createRandom } from '../../src/random.ts';

const series = (count: number, value: (i: number) => number) =>
  Array.from({ length: count }, (_, i) => value(i));

describe("Student's t", () => {
  test('its upper tail agrees with reference values, far out too', () => {
    const cases: [number, number, number][] = [
      [0.5, 1, 0.35241638234956674],
      [2, 3, 0.06966298427942152],
      [-1.3, 7, 0.8826160823038114],
      [4, 199, 4.463827937841262e-5],
      [12, 1023, 1.9584133924547369e-31],
      [1.6449, 1e6, 0.04999537462215142],
    ];
    for (const [t, degrees, tail] of cases)
      expect(Math.abs(studentTail(t, degrees) / tail - 1)).toBeLessThan(degrees > 1e5 ? 1e-8 : 1e-10);
    expect(studentTail(0, 5)).toBe(0.5);
    expect(studentTail(Number.NaN, 5)).toBeNaN();
  });

  test('the incomplete beta function agrees with reference values and its own symmetry', () => {
    const cases: [number, number, number, number][] = [
      [0.5, 0.5, 0.3, 0.36901011956554536],
      [2, 3, 0.9, 0.9963],
      [50, 0.5, 0.99, 0.3173043978741973],
    ];
    for (const [a, b, x, value] of cases) {
      expect(incompleteBeta(a, b, x)).toBeCloseTo(value, 12);
      expect(incompleteBeta(b, a, 1 - x)).toBeCloseTo(1 - value, 12);
    }
    expect([incompleteBeta(2, 3, 0), incompleteBeta(2, 3, 1)]).toEqual([0, 1]);
    expect([incompleteBeta(0, 3, 0.5), incompleteBeta(2, 3, 1.5)]).toEqual([Number.NaN, Number.NaN]);
  });
});

describe('the comparison of two forecasters', () => {
  test('agrees with a direct computation of the same statistic', () => {
    expect(dieboldMariano(series(40, (i) => Math.sin(1.7 * i) + 0.15)) / 1.7767674272659487e-7).toBeCloseTo(
      1,
      6,
    );
    const slow = series(40, (i) => Math.cos(i * i) + 0.3 + 0.5 * Math.sin(0.3 * i));
    expect(dieboldMariano(slow) / 4.6453063891402975e-5).toBeCloseTo(1, 9);
    const long = series(300, (i) => Math.cos(i * i) + 0.05 + 0.2 * Math.sin(0.3 * i));
    expect(dieboldMariano(long)).toBeCloseTo(0.02259629081967346, 12);
  });

  test('of either against the other, the two p-values sum to 1', () => {
    const differences = series(80, (i) => Math.cos(i * i) + 0.1);
    const other = differences.map((difference) => -difference);
    expect(dieboldMariano(differences) + dieboldMariano(other)).toBeCloseTo(1, 12);
  });

  test('keeps its level of 5 % for equal forecasters, also where losses follow each other', () => {
    const rejected = (memory: number) => {
      let count = 0;
      for (let run = 0; run < 400; run++) {
        const random = createRandom(run, memory * 10);
        let value = 0;
        const differences = series(256, () => {
          value = memory * value + random.normal();
          return value;
        });
        if (dieboldMariano(differences) < 0.05) count++;
      }
      return count / 400;
    };
    // Three standard errors of 5 % over 400 runs are 3.3 %; the kernel cannot see all of a long memory.
    expect(Math.abs(rejected(0) - 0.05)).toBeLessThan(0.033);
    expect(rejected(0.5)).toBeLessThan(0.12);
  });

  test('is decided by the sign of differences that do not vary, and undecided for fewer than 2', () => {
    expect([1, -1, 0].map((value) => dieboldMariano([value, value, value]))).toEqual([0, 1, 0.5]);
    expect(dieboldMariano([1])).toBeNaN();
  });
});
