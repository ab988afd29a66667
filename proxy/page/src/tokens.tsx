import { count, percent, rate, seconds } from "./format";

/** What `/models/{name}` says of a language model's answers, since the start of the proxy. */
export interface Llm {
  operations: Record<string, {
    inputTokens: number;
    outputTokens: number;
    timeToFirstTokenSeconds: Quantiles;
    timePerOutputTokenSeconds: Quantiles;
  }>;
  cachedTokens: number;
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
    const sample = { at: now, input: sum(llm, "inputTokens"), output: sum(llm, "outputTokens") };
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
  const input = sum(llm, "inputTokens");
  return (
    <section>
      <h2>Tokens</h2>
      <dl class="totals">
        <div><dt>Tokens out/s</dt><dd>{rate(rates.output)}</dd></div>
        <div><dt>Tokens in/s</dt><dd>{rate(rates.input)}</dd></div>
        <div><dt>From a cache</dt><dd>{input > 0 ? percent(llm.cachedTokens / input) : "–"}</dd></div>
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
                <td class="number">{count(of.inputTokens)}</td>
                <td>{count(of.outputTokens)}</td>
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

function sum(llm: Llm, of: "inputTokens" | "outputTokens"): number {
  return Object.values(llm.operations).reduce((total, one) => total + one[of], 0);
}
