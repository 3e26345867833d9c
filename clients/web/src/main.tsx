/** The page's beginning. */
import { render } from "preact";
import { followAddress } from "./data/route.js";
import { enter, notice, readConfig, remembered } from "./data/session.js";
import { startClock } from "./lib/time.js";
import { App } from "./views/app.js";
import { applyTheme } from "./views/header.js";
import { listenToKeys } from "./views/help.js";

const AGAIN_MS = 2_000;

async function begin(): Promise<void> {
  applyTheme();
  followAddress();
  startClock();
  listenToKeys();
  const root = document.getElementById("page");
  if (!root) throw new Error("no place for the page");
  render(<p class="door faint">One moment.</p>, root);
  const known = await servers(root);
  const who = remembered();
  if (who && Boolean(who.token) === known.credentials) {
    await enter(who).catch((reason: unknown) => {
      notice.value = reason instanceof Error ? reason.message : String(reason);
    });
  }
  render(<App />, root);
}

/** What the gateway says, once it and the servers behind it are there. */
async function servers(root: Element) {
  for (;;) {
    try {
      const known = await readConfig();
      if (known.credentials !== null) return known;
    } catch {
      // The gateway is away: it is asked again, as when the servers are.
    }
    render(
      <p class="door" role="status">
        The servers cannot be reached. Waiting for them; start them with: dovetail up
      </p>,
      root,
    );
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

void begin();
