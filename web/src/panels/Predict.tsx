/** What the labels say about the rest: predicted classes, how sure, what to label next. */

import { classes } from "../labels";
import { List } from "../parts/List";
import { Trouble, Waiting } from "../parts/Loaded";
import { automatic, type Method, method, METHODS, predict, predicting, predictTrouble } from "../predict";
import { colourBy, prediction, run } from "../state";
import { count, noun, percent } from "../words";

export function Predict() {
  const found = prediction.value;
  if (classes.value.length < 2)
    return classes.value.length ? <p class="state">One class so far. Label a few of a second class, and the rest is predicted.</p> : null;
  return (
    <section aria-label="Prediction">
      <h3>Prediction of the rest</h3>
      <div class="row">
        <select aria-label="Way of predicting" value={method.value} onChange={(event) => (method.value = event.currentTarget.value as Method)}>
          {Object.entries(METHODS).map(([key, name]) => <option key={key} value={key}>{name}</option>)}
        </select>
        <label class="check"><input type="checkbox" checked={automatic.value} onChange={(event) => (automatic.value = event.currentTarget.checked)} /> after each label</label>
        {!automatic.value && <button type="button" class="main" disabled={predicting.value} onClick={() => void predict()}>Predict</button>}
      </div>
      {predicting.value && <Waiting>Learning from your labels…</Waiting>}
      {predictTrouble.value && <Trouble text={predictTrouble.value} again={() => void predict()} />}
      {found && <Outcome />}
    </section>
  );
}

function Outcome() {
  const found = prediction.value!;
  const all = Object.values(found.classes).reduce((sum, one) => sum + one, 0);
  const shown = colourBy.value;
  return (
    <>
      {found.accuracy ? (
        <p>
          Checked on your own labels, <b>{percent(found.accuracy.mean)}</b> come out right
          (always naming the largest class would give {percent(found.largest_class)}).
        </p>
      ) : (
        <p class="note">Too few labels to check how often the prediction is right.</p>
      )}
      <table class="figures">
        <thead><tr><th>Predicted</th><th class="number">items</th><th class="number">share</th></tr></thead>
        <tbody>
          {Object.entries(found.classes).sort(([, one], [, more]) => more - one).map(([name, size]) => (
            <tr key={name}><th scope="row">{name}</th><td class="number">{count(size)}</td><td class="number">{percent(size / all)}</td></tr>
          ))}
        </tbody>
      </table>
      <p class="note">Confidence {percent(found.confidence.mean)} on average; {count(found.confidence.low)} under 50%.</p>
      <div class="row">
        <span class="segments" role="group" aria-label="Show on the map">
          {(["label", "predicted", "confidence"] as const).map((name) => (
            <button key={name} type="button" aria-pressed={shown === name} onClick={() => (colourBy.value = name)}>{{ label: "Labels", predicted: "Predicted", confidence: "Confidence" }[name]}</button>
          ))}
        </span>
        <button type="button" onClick={() => void predict(true)} disabled={predicting.value} title="Writes label, predicted and confidence into the run's folder">Keep in run</button>
      </div>
      {found.unsure.length > 0 && (
        <>
          <h3>Label these next</h3>
          <p class="note">The prediction is least sure here, so each {noun(run.value!.kind)} teaches it most.</p>
          <List items={found.unsure} name="Label these next" note={(one) => <>{one.predicted}? {percent(one.confidence)}</>} />
        </>
      )}
    </>
  );
}
