/** Waiting for facts that arrive in their own time. */

/**
 * Asks until the answer satisfies `done`, at most `withinMs`. For facts that arrive in their own time (events through
 * a broker); never a fixed wait.
 */
export async function eventually<Answer>(
  ask: () => Promise<Answer>,
  done: (answer: Answer) => boolean,
  withinMs = 20_000,
): Promise<Answer> {
  const deadlineMs = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (done(answer)) return answer;
    if (performance.now() > deadlineMs)
      throw new Error(`still not so after ${withinMs} ms: ${inspect(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function inspect(answer: unknown): string {
  return JSON.stringify(answer, (_, value) => (typeof value === 'bigint' ? String(value) : value))?.slice(
    0,
    2_000,
  );
}
