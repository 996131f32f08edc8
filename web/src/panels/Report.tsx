/** The report: the verdict large, then each measure as a small table, our run beside its baselines. */

import * as api from "../api";
import { type Arm, best, given, MEASURES, value } from "../measures";
import { Empty, Loaded } from "../parts/Loaded";
import { run } from "../state";
import { score } from "../words";

export function Report() {
  const now = run.value!;
  if (!now.has_report)
    return (
      <Empty>
        This run has no report. {now.kind === "vector" ? "Imported vectors get one with" : "Make one with"} <code>unlabeled report {now.path}</code> in the terminal, then reload this page.
      </Empty>
    );
  return (
    <Loaded from={() => api.report(now.id)} on={[now.id]} waiting="Fetching the report…">
      {(report) => {
        const quality = report.quality ?? {};
        const arms = (quality.arms ?? []) as Arm[];
        return (
          <>
            {quality.verdict && <p class="verdict">{quality.verdict}</p>}
            {quality.collapse && <p>{quality.collapse}</p>}
            <p><a href={api.link(now.id, "/report.html")} target="_blank" rel="noopener">Open the whole report</a></p>
            <h2 class="sr">Measures</h2>
            {given(arms).map((key) => <Table key={key} arms={arms} measure={key} />)}
            {quality.judged_on && <p class="note">Judged on {quality.judged_on}. No label was used. ± is one standard deviation.</p>}
          </>
        );
      }}
    </Loaded>
  );
}

function Table({ arms, measure }: { arms: Arm[]; measure: string }) {
  const { name, means, ranked } = MEASURES[measure]!;
  const top = ranked ? best(arms, measure) : [];
  return (
    <article class="card measure">
      <h3>{name}</h3>
      <table class="figures">
        <tbody>
          {arms.map((arm, i) => {
            const found = value(arm[measure]);
            return found && (
              <tr key={arm.name} class={i === 0 ? "own" : ""}>
                <th scope="row" title={arm.label}>{i === 0 ? `This run (${arm.name})` : arm.name}</th>
                <td class="number">
                  {Math.abs(found.mean) < 10 ? score(found.mean) : found.mean.toFixed(1)}
                  {found.std >= 0.005 && <small> ± {score(found.std)}</small>}
                </td>
                <td>{top.includes(arm) && <span class="best">{arm === top[0] ? "best" : "level"}</span>}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      <p class="note">{means}</p>
    </article>
  );
}
