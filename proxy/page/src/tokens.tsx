import { count, percent, rate, seconds } from "./format";

/** What `/models/{name}` says of a language model's answers, since the start of the proxy. */
export interface Llm {
  operations: Record<string, {
    /** null: no answer said so. */
    inputTokens: number | null;
    outputTokens: number | null;
    timeToFirstTokenSeconds: Quantiles;
    timePerOutputTokenSeconds: Quantiles;
  }>;
  cachedTokens: number | null;
  finishReasons: Record<string, number>;
}

interface Quantiles {
  p50: number | null;
  p99: number | null;
}

/** Tokens a second over the last seconds, from what was seen since the page was opened. */
export class TokenRates {
  private seen: { at: number; input: number; output: number }[] = [];
  input = 0;
  output = 0;

  push(llm: Llm, now: number): void {
    const sample = { at: now, input: sum(llm, "inputTokens") ?? 0, output: sum(llm, "outputTokens") ?? 0 };
    const last = this.seen[this.seen.length - 1];
    // Another start of the proxy counts from nothing.
    if (last && sample.output < last.output) this.seen = [];
    this.seen.push(sample);
    while (this.seen.length > 2 && now - this.seen[0]!.at > 10) this.seen.shift();
    const first = this.seen[0]!;
    const passed = Math.max(now - first.at, 1);
    this.input = (sample.input - first.input) / passed;
    this.output = (sample.output - first.output) / passed;
  }
}

export function Tokens({ llm, rates }: { llm: Llm; rates: TokenRates }) {
  const [input, output] = [sum(llm, "inputTokens"), sum(llm, "outputTokens")];
  return (
    <section>
      <h2>Tokens</h2>
      <dl class="totals">
        <div><dt>Tokens out/s</dt><dd>{output === null ? "–" : rate(rates.output)}</dd></div>
        <div><dt>Tokens in/s</dt><dd>{input === null ? "–" : rate(rates.input)}</dd></div>
        <div><dt>From a cache</dt><dd>{input && llm.cachedTokens !== null ? percent(llm.cachedTokens / input) : "–"}</dd></div>
        {Object.entries(llm.finishReasons).map(([reason, times]) => (
          <div key={reason}><dt>Ended: {reason}</dt><dd>{count(times)}</dd></div>
        ))}
      </dl>
      <div class="scroll" tabIndex={0} role="region" aria-label="Tokens">
        <table>
          <thead>
            <tr>
              <th scope="col" class="text">Operation</th>
              <th scope="col">Tokens in</th>
              <th scope="col">Tokens out</th>
              <th scope="col">First token p50</th>
              <th scope="col">p99</th>
              <th scope="col">Between tokens p50</th>
              <th scope="col">p99</th>
            </tr>
          </thead>
          <tbody>
            {Object.entries(llm.operations).map(([operation, of]) => (
              <tr key={operation}>
                <th scope="row" class="name">{operation}</th>
                <td class="number">{tokens(of.inputTokens)}</td>
                <td>{tokens(of.outputTokens)}</td>
                <td>{seconds(of.timeToFirstTokenSeconds.p50)}</td>
                <td>{seconds(of.timeToFirstTokenSeconds.p99)}</td>
                <td>{seconds(of.timePerOutputTokenSeconds.p50)}</td>
                <td>{seconds(of.timePerOutputTokenSeconds.p99)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function tokens(value: number | null): string {
  return value === null ? "–" : count(value);
}

/** null: no answer said so. */
function sum(llm: Llm, of: "inputTokens" | "outputTokens"): number | null {
  const said = Object.values(llm.operations).map((one) => one[of]).filter((tokens) => tokens !== null);
  return said.length ? said.reduce((total, one) => total + one) : null;
}
