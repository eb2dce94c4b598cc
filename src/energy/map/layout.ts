/**
 * Which node lies on which cell of a stream's map. Declared cells are used, unless the rule is AUTO, when every node
 * declared one, none collide and they fill enough of their rectangle; otherwise the arrangement is automatic: nodes in
 * byte order of their names, ceil(sqrt n) columns. Nodes stay where they are until the arrangement overflows or more than
 * a quarter of it is empty; then it is made anew and its version rises. Filling a spare cell or leaving one raises only
 * the revision.
 */
import { runThrough, type Steps } from '../../numeric/slices.ts';
import { byNameSteps, CELLS_PER_STEP, NODES_PER_STEP } from './order.ts';

export interface DeclaredCell {
  readonly row: number;
  readonly col: number;
}

export interface PlacedNode {
  readonly name: string;
  readonly declared: DeclaredCell | undefined;
}

/** DECLARED: on the cells they declare, where that can be. AUTO: declared cells count for nothing. */
export type LayoutKind = 'DECLARED' | 'AUTO';

export interface Layout {
  readonly kind: LayoutKind;
  /** From 1; rises with each new arrangement. */
  readonly version: number;
  /** From 1; rises with each change of `cells`. */
  readonly revision: number;
  readonly rows: number;
  readonly cols: number;
  /** Node of each cell, row-major; empty for a spare one. */
  readonly cells: readonly string[];
  /** Two nodes declared the same cell, one a cell beyond the largest map, or all together a nearly empty rectangle. */
  readonly conflict: boolean;
}

/** Largest side of a map. */
const SIDE_MAX = 1024;
const EMPTY_SHARE_MAX = 0.25;
/**
 * A declared rectangle of more cells than this must have a sixteenth of them taken. Every window is stored, measured and
 * forecast by the cell, so a few nodes at (1023, 1023) must not cost what a million do; this way a node costs 16 cells at
 * most beyond a map of 64 x 64, which a fleet that is still coming up may leave as empty as it likes.
 */
const SPARSE_CELLS = 4_096;
const TAKEN_SHARE_MIN = 1 / 16;

type Arrangement = Pick<Layout, 'rows' | 'cols' | 'cells'>;

/** The layout for these nodes (names unique; none make one spare cell), as close to the one before as the rules ask. */
export function* arrangeSteps(
  previous: Layout | undefined,
  nodes: readonly PlacedNode[],
  rule: LayoutKind = 'DECLARED',
): Steps<Layout> {
  const sorted = yield* byNameSteps(nodes);
  const { declared, conflict } =
    rule === 'AUTO' ? { declared: undefined, conflict: false } : yield* declaredArrangement(sorted);
  const kind: LayoutKind = declared ? 'DECLARED' : 'AUTO';
  const fresh = function* () {
    return declared ?? (yield* automaticArrangement(sorted));
  };
  if (previous?.kind !== kind) return renewed(previous, kind, conflict, yield* fresh());

  const kept = yield* declared ? keepDeclared(previous, declared) : keepAutomatic(previous, sorted);
  if (kept === undefined) return renewed(previous, kind, conflict, yield* fresh());
  let empty = 0;
  let changed = false;
  for (let at = 0; at < kept.length; at++) {
    if (kept[at] === '') empty++;
    if (kept[at] !== previous.cells[at]) changed = true;
    if (at % CELLS_PER_STEP === CELLS_PER_STEP - 1) yield;
  }
  if (empty > EMPTY_SHARE_MAX * kept.length) {
    const again = yield* fresh();
    // Declared cells may leave gaps on purpose: only a smaller map is worth a new arrangement.
    if (again.cells.length < kept.length) return renewed(previous, kind, conflict, again);
  }
  if (!changed && conflict === previous.conflict) return previous;
  return {
    ...previous,
    conflict,
    cells: kept,
    revision: previous.revision + (changed ? 1 : 0),
  };
}

/** The same without a pause. */
export function arrange(
  previous: Layout | undefined,
  nodes: readonly PlacedNode[],
  rule?: LayoutKind,
): Layout {
  return runThrough(arrangeSteps(previous, nodes, rule));
}

function renewed(
  previous: Layout | undefined,
  kind: LayoutKind,
  conflict: boolean,
  arrangement: Arrangement,
): Layout {
  const version = (previous?.version ?? 0) + 1;
  const revision = (previous?.revision ?? 0) + 1;
  return { kind, version, revision, conflict, ...arrangement };
}

/** The declared arrangement, where there is one: every node declared a cell of its own, and the map is not nearly empty. */
function* declaredArrangement(
  nodes: readonly PlacedNode[],
): Steps<{ declared: Arrangement | undefined; conflict: boolean }> {
  const taken = new Set<number>();
  let rows = 0;
  let cols = 0;
  let conflict = false;
  let missing = false;
  for (let at = 0; at < nodes.length; at++) {
    if (at % NODES_PER_STEP === NODES_PER_STEP - 1) yield;
    const { declared } = nodes[at]!;
    if (declared === undefined) {
      missing = true;
      continue;
    }
    const { row, col } = declared;
    const place = row * SIDE_MAX + col;
    if (row >= SIDE_MAX || col >= SIDE_MAX || taken.has(place)) conflict = true;
    taken.add(place);
    rows = Math.max(rows, row + 1);
    cols = Math.max(cols, col + 1);
  }
  // While nodes are missing nobody knows how full the map will be.
  const isSparse = rows * cols > SPARSE_CELLS && taken.size < TAKEN_SHARE_MIN * rows * cols;
  if (isSparse && !missing) conflict = true;
  if (conflict || missing || nodes.length === 0) return { declared: undefined, conflict };
  const cells = new Array<string>(rows * cols).fill('');
  for (let at = 0; at < nodes.length; at++) {
    const { name, declared } = nodes[at]!;
    cells[declared!.row * cols + declared!.col] = name;
    if (at % NODES_PER_STEP === NODES_PER_STEP - 1) yield;
  }
  return { declared: { rows, cols, cells }, conflict };
}

function* automaticArrangement(nodes: readonly PlacedNode[]): Steps<Arrangement> {
  const cols = Math.max(1, Math.ceil(Math.sqrt(nodes.length)));
  const rows = Math.max(1, Math.ceil(nodes.length / cols));
  const cells = new Array<string>(rows * cols).fill('');
  for (let at = 0; at < nodes.length; at++) {
    cells[at] = nodes[at]!.name;
    if (at % NODES_PER_STEP === NODES_PER_STEP - 1) yield;
  }
  return { rows, cols, cells };
}

/** The declared cells within the sides of before; undefined when one lies beyond or a node has moved. */
function* keepDeclared(previous: Layout, declared: Arrangement): Steps<string[] | undefined> {
  if (declared.rows > previous.rows || declared.cols > previous.cols) return undefined;
  const placed = yield* namesOf(previous);
  const cells = new Array<string>(previous.cells.length).fill('');
  for (let at = 0; at < declared.cells.length; at++) {
    if (at % CELLS_PER_STEP === CELLS_PER_STEP - 1) yield;
    const name = declared.cells[at]!;
    if (name === '') continue;
    const to = Math.floor(at / declared.cols) * previous.cols + (at % declared.cols);
    if (previous.cells[to] !== name && placed.has(name)) return undefined;
    cells[to] = name;
  }
  return cells;
}

/** Known nodes where they were, new ones on the first free cells; undefined when there are too few. */
function* keepAutomatic(previous: Layout, nodes: readonly PlacedNode[]): Steps<string[] | undefined> {
  const present = new Set<string>();
  for (const { name } of nodes) {
    present.add(name);
    if (present.size % NODES_PER_STEP === 0) yield;
  }
  const cells = previous.cells.map((name) => (present.has(name) ? name : ''));
  const placed = yield* namesOf(previous);
  let free = 0;
  for (let at = 0; at < nodes.length; at++) {
    if (at % NODES_PER_STEP === NODES_PER_STEP - 1) yield;
    const { name } = nodes[at]!;
    if (placed.has(name)) continue;
    while (free < cells.length && cells[free] !== '') free++;
    if (free === cells.length) return undefined;
    cells[free] = name;
  }
  return cells;
}

/** Nodes that have a cell. */
function* namesOf({ cells }: Layout): Steps<Set<string>> {
  const names = new Set<string>();
  for (let at = 0; at < cells.length; at++) {
    if (cells[at] !== '') names.add(cells[at]!);
    if (at % NODES_PER_STEP === NODES_PER_STEP - 1) yield;
  }
  return names;
}
