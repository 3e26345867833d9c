/** The first screen: who needs me, what is stuck, what is going on; the report beside it. */
import { session } from "../data/session.js";
import { current } from "../data/team.js";
import { counted } from "../lib/text.js";
import { zone } from "../lib/time.js";
import { Band } from "../parts/band.js";
import { Fault, READ_AGAIN } from "../parts/fault.js";
import { Agents } from "./agents.js";
import { Lanes } from "./lanes.js";
import { Needs } from "./needs.js";
import { Report } from "./report.js";
import { Stuck } from "./stuck.js";

export function Now() {
  const [fault] = current().faults.values();
  return (
    <div class="now">
      <h1 class="hidden">Now</h1>
      <div>
        <Fault error={fault} ofRead={READ_AGAIN} />
        {session.value?.role === "observer" && (
          <p class="faint">You observe: everything is shown, nothing can be changed.</p>
        )}
        <div class="bands">
          <Needs />
          <Stuck />
          <Running />
        </div>
        <p class="foot faint small">All times are in {zone()}.</p>
      </div>
      <aside class="beside" aria-label="Report">
        <Report />
      </aside>
    </div>
  );
}

function Running() {
  const { agents } = current();
  return (
    <Band
      id="running"
      title="Running"
      aside={<span class="faint num">{agents.size > 0 && counted(agents.size, "agent")}</span>}
    >
      <Agents />
      <Lanes />
    </Band>
  );
}
