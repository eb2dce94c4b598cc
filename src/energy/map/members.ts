/**
 * The nodes of a stream: where each says it lies, when it was seen last, and what is learned of it. A node that is silent
 * for too long leaves and is forgotten; so is what was learned of all when the stream is to be read otherwise.
 */
import type { Steps } from '../../numeric/slices.ts';
import type { DeclaredCell } from './layout.ts';
import { NODES_PER_STEP } from './order.ts';
import type { MeterReadings } from './physical.ts';
import { NodeModel, type NodeModelState, type StatisticalPlan } from './statistical.ts';
import type { WindowNode } from './window.ts';

/** Windows a node may be silent before it leaves. */
const LEAVE_WINDOWS = 360;

export interface Member {
  readonly name: string;
  /** Spreads refreshes of the models; given in order of appearance. */
  readonly ordinal: number;
  declared: DeclaredCell | undefined;
  /** Number of the window it was last seen in. */
  lastSeen: number;
  /** Its last observed cell. */
  filler: number;
  readonly meters: MeterReadings;
  model: NodeModel | undefined;
  /** End of the window its model learned last. */
  learnedMs: number | undefined;
}

/** A member as plain data. */
export type MemberState = Omit<Member, 'model'> & { readonly model: NodeModelState | undefined };

/** Everything known of the nodes, as plain data. Arrays are borrowed until the next window. */
export interface MembersState {
  /** Ordinals given so far. */
  readonly ordinals: number;
  readonly members: readonly MemberState[];
}

export class Members {
  #ordinals = 0;
  readonly #byName = new Map<string, Member>();

  static restore({ ordinals, members }: MembersState, plan: StatisticalPlan): Members {
    const restored = new Members();
    restored.#ordinals = ordinals;
    for (const { model, meters, ...member } of members) {
      restored.#byName.set(member.name, {
        ...member,
        meters: new Map(meters),
        model: model && NodeModel.restore(plan, model),
      });
    }
    return restored;
  }

  state(): MembersState {
    const members = this.all().map((member) => ({ ...member, model: member.model?.state() }));
    return { ordinals: this.#ordinals, members };
  }

  /** In order of appearance. */
  all(): Member[] {
    return [...this.#byName.values()];
  }

  /** One that has reported and not left. */
  get(name: string): Member {
    return this.#byName.get(name)!;
  }

  /** Takes note of who reported in window number `window`, and forgets who has been silent for too long. */
  *see(nodes: readonly WindowNode[], window: number): Steps<void> {
    for (let at = 0; at < nodes.length; at++) {
      if (at % NODES_PER_STEP === NODES_PER_STEP - 1) yield;
      const { name, declared } = nodes[at]!;
      const member = this.#byName.get(name);
      if (member === undefined) {
        this.#byName.set(name, {
          name,
          ordinal: this.#ordinals++,
          declared,
          lastSeen: window,
          filler: 0,
          meters: new Map(),
          model: undefined,
          learnedMs: undefined,
        });
        continue;
      }
      member.lastSeen = window;
      member.declared = declared ?? member.declared;
    }
    yield;
    for (const { name, lastSeen } of this.#byName.values())
      if (window - lastSeen > LEAVE_WINDOWS) this.#byName.delete(name);
  }

  /** Forgets what was learned and measured; who is there, and where, stays. */
  forget(): void {
    for (const member of this.#byName.values()) {
      member.model = undefined;
      member.filler = 0;
      member.meters.clear();
    }
  }
}
