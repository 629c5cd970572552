// What the page cannot begin without is asked for until it comes: a slow or broken network is no reason to show nothing.

const FIRST_MS = 1000;
const LONGEST_MS = 15000;

// The answer of `work()`, tried again after each failure; `failed()` is called at each.
export async function untilHad(work, { failed, later = (next, ms) => setTimeout(next, ms) }) {
  for (let wait = FIRST_MS; ; wait = Math.min(LONGEST_MS, wait * 2)) {
    try {
      return await work();
    } catch {
      failed();
      await new Promise((next) => later(next, wait));
    }
  }
}
