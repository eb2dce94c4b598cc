/**
 * One stream's way from windows to maps: its layout, its nodes and what is learned of them. Windows come in the order
 * of their starts, each once. Deterministic: the same settings and windows give the same maps bit for bit, also when
 * the state went through `snapshot` and `restore` anywhere between. Nothing here reads a clock: learning and leaving
 * follow the windows.
 */
import type { Steps } from '../../numeric/slices.ts';
import type { BoundaryRule } from '../../numeric/stencil.ts';
import { digestSteps } from './digest.ts';
import { createExplanationBuilder, type Explanation, scoreOf } from './explanation.ts';
import { createJudgement, type Judgement, METRICS_MAX } from './judgement.ts';
import { arrangeSteps, type Layout, type LayoutKind } from './layout.ts';
import { type Member, Members, type MembersState } from './members.ts';
import { byNameSteps, CELLS_PER_STEP, NODES_PER_STEP } from './order.ts';
import { energyMetrics, joulesOf } from './physical.ts';
import { chooseMetrics, fillSample, type MetricChoice, samplePlaces } from './sample.ts';
import { type MapState, stateSteps } from './state.ts';
import { createStatePlans } from './state-plan.ts';
import { createStatisticalPlan, NodeModel, type StatisticalPlan } from './statistical.ts';
import type { MapWindow, WindowNode } from './window.ts';

const FLOAT32_MAX = 3.4028234663852886e38;

/** AUTO: PHYSICAL once the stream has had an energy or power metric, STATISTICAL until then. */
export type ModeChoice = 'AUTO' | 'PHYSICAL' | 'STATISTICAL';
export type Mode = Exclude<ModeChoice, 'AUTO'>;

export interface MapSettings {
  readonly mode: ModeChoice;
  /** Empty: chosen by what is seen. */
  readonly metrics: readonly MetricChoice[];
  readonly halfLifeMs: number;
  readonly boundary: BoundaryRule;
  /** Absent in what was saved before there was a choice: DECLARED. */
  readonly layout?: LayoutKind;
}

/** One window become a map. Arrays belong to the receiver. */
export interface MappedWindow {
  readonly startMs: number;
  readonly endMs: number;
  readonly endOfInput: boolean;
  readonly mode: Mode;
  readonly layout: Layout;
  /** Row-major; unobserved cells hold the node's last value, or 0. */
  readonly cells: Float32Array;
  /** One byte a cell, 1 observed. */
  readonly observed: Uint8Array;
  readonly state: MapState;
  readonly digest: Uint8Array;
  /** Mean surprise of the observed nodes, nats; undefined for physical maps and where nothing is observed. */
  readonly surprise: number | undefined;
  /** e / (1 + e), e the greatest evidence of a node that its window is like none before: in [0, 1), rising with it. */
  readonly score: number | undefined;
  readonly explanation: Explanation | undefined;
}

/** Everything a mapper knows, as plain data. Arrays are borrowed until the next window: copy or write them at once. */
export interface MapperSnapshot extends MembersState {
  readonly settings: MapSettings;
  readonly windows: number;
  readonly energyNames: readonly string[];
  readonly metricNames: readonly string[];
  readonly layout: Layout | undefined;
}

/** Silence beyond this counts as this: after a night without data one window must not stand for the night. */
const SILENCE_MAX_MS = 3_600_000;

export class StreamMapper {
  #settings: MapSettings;
  #windows = 0;
  /** Metrics of physical and of statistical maps, chosen so far. */
  #energyNames: readonly string[] = [];
  #metricNames: readonly string[] = [];
  #layout: Layout | undefined;
  #members = new Members();
  readonly #plan: StatisticalPlan = createStatisticalPlan();
  readonly #judgement: Judgement = createJudgement();
  /** Of the present layout's shape. */
  readonly #statePlans = createStatePlans(1);
  readonly #sample = new Float64Array(METRICS_MAX);

  constructor(settings: MapSettings) {
    this.#settings = settings;
  }

  static restore(snapshot: MapperSnapshot): StreamMapper {
    const mapper = new StreamMapper(snapshot.settings);
    mapper.#windows = snapshot.windows;
    mapper.#energyNames = snapshot.energyNames;
    mapper.#metricNames = snapshot.metricNames;
    mapper.#layout = snapshot.layout;
    mapper.#members = Members.restore(snapshot, mapper.#plan);
    return mapper;
  }

  snapshot(): MapperSnapshot {
    return {
      settings: this.#settings,
      windows: this.#windows,
      energyNames: this.#energyNames,
      metricNames: this.#metricNames,
      layout: this.#layout,
      ...this.#members.state(),
    };
  }

  /** Windows mapped so far. */
  get windows(): number {
    return this.#windows;
  }

  get mode(): Mode {
    if (this.#settings.mode !== 'AUTO') return this.#settings.mode;
    return this.#energyNames.length > 0 ? 'PHYSICAL' : 'STATISTICAL';
  }

  /** Puts other settings in force, from the next window on. Another mode, metric list or half-life forgets. */
  configure(settings: MapSettings): void {
    const before = this.#settings;
    this.#settings = settings;
    const learningKept =
      before.mode === settings.mode &&
      before.halfLifeMs === settings.halfLifeMs &&
      JSON.stringify(before.metrics) === JSON.stringify(settings.metrics);
    if (learningKept) return;
    this.#energyNames = [];
    this.#metricNames = [];
    this.#members.forget();
  }

  /** Folds the next window into a map: scores it, then learns it. Not to be called again before the steps have ended. */
  *fold(window: MapWindow): Steps<MappedWindow> {
    this.#windows++;
    const nodes = yield* byNameSteps(window.nodes);
    yield* this.#members.see(nodes, this.#windows);
    const modeBefore = this.mode;
    const configured = this.#settings.metrics.map(({ name }) => name);
    this.#energyNames = energyMetrics(this.#energyNames, configured, window.metrics);
    if (this.mode !== modeBefore) for (const member of this.#members.all()) member.filler = 0;
    this.#layout = yield* arrangeSteps(this.#layout, this.#members.all(), this.#settings.layout);

    const observedNodes = new Set<string>();
    const judged =
      this.mode === 'PHYSICAL'
        ? yield* this.#measure(window, nodes, observedNodes)
        : yield* this.#judge(window, nodes, observedNodes);
    const { cells, observed } = yield* this.#paint(this.#layout, observedNodes);
    const { rows, cols } = this.#layout;
    const state = yield* stateSteps(
      {
        rows,
        cols,
        cells: new Float64Array(cells),
        observed,
        cellArea: 1,
        spacing: 1,
        boundary: this.#settings.boundary,
      },
      { temperature: 1, scheme: 'SOBEL', bins: 64, edges: undefined },
      this.#statePlans,
    );
    return {
      startMs: window.startMs,
      endMs: window.endMs,
      endOfInput: window.endOfInput,
      mode: this.mode,
      layout: this.#layout,
      cells,
      observed,
      state,
      digest: yield* digestSteps(cells, rows, cols),
      ...judged,
    };
  }

  *#measure(window: MapWindow, nodes: readonly WindowNode[], observed: Set<string>) {
    for (let at = 0; at < nodes.length; at++) {
      if (at % NODES_PER_STEP === NODES_PER_STEP - 1) yield;
      const { name, readings } = nodes[at]!;
      const member = this.#members.get(name);
      const joules = joulesOf(readings, window, this.#energyNames, member.meters);
      if (joules === undefined) continue;
      member.filler = held(joules);
      observed.add(name);
    }
    return { surprise: undefined, score: undefined, explanation: undefined };
  }

  *#judge(window: MapWindow, nodes: readonly WindowNode[], observed: Set<string>) {
    this.#metricNames = chooseMetrics(this.#metricNames, this.#settings.metrics, window);
    const places = samplePlaces(this.#metricNames, this.#settings.metrics, window);
    const sample = this.#sample.subarray(0, this.#metricNames.length);
    const explanation = createExplanationBuilder(nodes.length, this.#metricNames.length);
    let sum = 0;
    let greatest = 0;
    for (const node of nodes) {
      if (!fillSample(node.readings, window, places, sample)) continue;
      const member = this.#members.get(node.name);
      member.model ??= new NodeModel(this.#plan, member.ordinal);
      const forgetting = this.#forgetting(member, window);
      member.learnedMs = window.endMs;
      if (member.model.judge(sample, forgetting, this.#judgement)) {
        const { energy, surprise, evidence } = this.#judgement;
        member.filler = held(energy);
        observed.add(node.name);
        explanation.add(node.name, this.#judgement);
        sum += surprise;
        greatest = Math.max(greatest, evidence);
      }
      yield;
    }
    return {
      surprise: observed.size > 0 ? sum / observed.size : undefined,
      score: observed.size > 0 ? scoreOf(greatest) : undefined,
      explanation: yield* explanation.build(this.#metricNames),
    };
  }

  /**
   * How much of what a node learned before a window is forgotten with it. By the event time since it learned last, so
   * that a half-life means the same for a node that reports in every window and for one that reports in some.
   */
  #forgetting({ learnedMs }: Member, { startMs, endMs }: MapWindow): number {
    const sinceMs = learnedMs === undefined ? 0 : Math.min(SILENCE_MAX_MS, endMs - learnedMs);
    return -Math.expm1((-Math.LN2 * Math.max(endMs - startMs, sinceMs)) / this.#settings.halfLifeMs);
  }

  *#paint(layout: Layout, observedNodes: ReadonlySet<string>) {
    const cells = new Float32Array(layout.cells.length);
    const observed = new Uint8Array(layout.cells.length);
    let placed = 0;
    for (let at = 0; at < cells.length; at++) {
      if (at % CELLS_PER_STEP === CELLS_PER_STEP - 1) yield;
      const name = layout.cells[at]!;
      if (name === '') continue;
      cells[at] = this.#members.get(name).filler;
      observed[at] = observedNodes.has(name) ? 1 : 0;
      if (++placed % NODES_PER_STEP === 0) yield;
    }
    return { cells, observed };
  }
}

/** The number as a finite float32. */
function held(value: number): number {
  return Math.fround(Math.max(-FLOAT32_MAX, Math.min(FLOAT32_MAX, value)));
}
