// How long a page waits before it tries to connect again.

const FIRST = 500;      // ms before the first new attempt, at most
const LONGEST = 15_000; // ms, the bound

// backoff doubles the wait with every attempt, counted from 0, and spreads the pages over its second half: after a
// restart of the server they do not all come back at once. random returns a number from 0 up to 1.
export function backoff(attempt, random = Math.random) {
  return Math.min(LONGEST, FIRST * 2 ** attempt) * (0.5 + random() / 2);
}
