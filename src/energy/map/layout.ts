/**
 * Which node lies on which cell of a stream's map. Declared cells are used when every node declared one and none
 * collide; otherwise the arrangement is automatic: nodes in byte order of their names, ceil(sqrt n) columns. Nodes
 * stay where they are until the arrangement overflows or more than a quarter of it is empty; then it is made anew and
 * its version rises. Filling a spare cell or leaving one raises only the revision.
 */

export interface DeclaredCell {
  readonly row: number;
  readonly col: number;
}

export interface PlacedNode {
  readonly name: string;
  readonly declared: DeclaredCell | undefined;
}

export interface Layout {
  readonly kind: 'DECLARED' | 'AUTO';
  /** From 1; rises with each new arrangement. */
  readonly version: number;
  /** From 1; rises with each change of `cells`. */
  readonly revision: number;
  readonly rows: number;
  readonly cols: number;
  /** Node of each cell, row-major; empty for a spare one. */
  readonly cells: readonly string[];
  /** Two nodes declared the same cell, or one a cell beyond the largest map. */
  readonly conflict: boolean;
}

/** Largest side of a map. */
const SIDE_MAX = 1024;
const EMPTY_SHARE_MAX = 0.25;

type Arrangement = Pick<Layout, 'rows' | 'cols' | 'cells'>;

/** The layout for these nodes (names unique; none make one spare cell), as close to the one before as the rules ask. */
export function arrange(previous: Layout | undefined, nodes: readonly PlacedNode[]): Layout {
  const sorted = [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1));
  const { declared, conflict } = declaredArrangement(sorted);
  const kind = declared ? 'DECLARED' : 'AUTO';
  const fresh = () => declared ?? automaticArrangement(sorted);
  if (previous?.kind !== kind) return renewed(previous, kind, conflict, fresh());

  const kept = declared ? keepDeclared(previous, declared) : keepAutomatic(previous, sorted);
  if (kept === undefined) return renewed(previous, kind, conflict, fresh());
  const empty = kept.reduce((count, name) => count + (name === '' ? 1 : 0), 0);
  if (empty > EMPTY_SHARE_MAX * kept.length) {
    const again = fresh();
    // Declared cells may leave gaps on purpose: only a smaller map is worth a new arrangement.
    if (again.cells.length < kept.length) return renewed(previous, kind, conflict, again);
  }
  const changed = kept.some((name, at) => name !== previous.cells[at]);
  if (!changed && conflict === previous.conflict) return previous;
  return {
    ...previous,
    conflict,
    cells: kept,
    revision: previous.revision + (changed ? 1 : 0),
  };
}

function renewed(
  previous: Layout | undefined,
  kind: Layout['kind'],
  conflict: boolean,
  arrangement: Arrangement,
): Layout {
  const version = (previous?.version ?? 0) + 1;
  const revision = (previous?.revision ?? 0) + 1;
  return { kind, version, revision, conflict, ...arrangement };
}

/** The declared arrangement, where there is one: every node declared a cell of its own. */
function declaredArrangement(nodes: readonly PlacedNode[]): { declared?: Arrangement; conflict: boolean } {
  const taken = new Set<number>();
  let rows = 0;
  let cols = 0;
  let conflict = false;
  let missing = false;
  for (const { declared } of nodes) {
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
  if (conflict || missing || nodes.length === 0) return { conflict };
  const cells = new Array<string>(rows * cols).fill('');
  for (const { name, declared } of nodes) cells[declared!.row * cols + declared!.col] = name;
  return { declared: { rows, cols, cells }, conflict };
}

function automaticArrangement(nodes: readonly PlacedNode[]): Arrangement {
  const cols = Math.max(1, Math.ceil(Math.sqrt(nodes.length)));
  const rows = Math.max(1, Math.ceil(nodes.length / cols));
  const cells = new Array<string>(rows * cols).fill('');
  nodes.forEach(({ name }, at) => {
    cells[at] = name;
  });
  return { rows, cols, cells };
}

/** The declared cells within the sides of before; undefined when one lies beyond or a node has moved. */
function keepDeclared(previous: Layout, declared: Arrangement): string[] | undefined {
  if (declared.rows > previous.rows || declared.cols > previous.cols) return undefined;
  const cells = new Array<string>(previous.cells.length).fill('');
  for (let at = 0; at < declared.cells.length; at++) {
    if (declared.cells[at] === '') continue;
    const row = Math.floor(at / declared.cols);
    cells[row * previous.cols + (at % declared.cols)] = declared.cells[at]!;
  }
  const placed = new Set(previous.cells.filter((name) => name !== ''));
  const moved = cells.some((name, at) => placed.has(name) && previous.cells[at] !== name);
  return moved ? undefined : cells;
}

/** Known nodes where they were, new ones on the first free cells; undefined when there are too few. */
function keepAutomatic(previous: Layout, nodes: readonly PlacedNode[]): string[] | undefined {
  const present = new Set(nodes.map(({ name }) => name));
  const cells = previous.cells.map((name) => (present.has(name) ? name : ''));
  const placed = new Set(cells);
  let free = 0;
  for (const { name } of nodes) {
    if (placed.has(name)) continue;
    while (free < cells.length && cells[free] !== '') free++;
    if (free === cells.length) return undefined;
    cells[free] = name;
  }
  return cells;
}
