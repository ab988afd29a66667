import { render } from "preact";
import { Reload } from "./control";
import { Decisions } from "./decisions";
import { Feed, type Proxy } from "./feed";
import { clock } from "./format";
import { useFeed, useRoute } from "./hooks";
import { ModelPage } from "./model";
import { Overview } from "./overview";
import { Placement } from "./placement";
import { Proxies } from "./proxies";

function Page({ feed }: { feed: Feed }) {
  useFeed(feed);
  const route = useRoute();
  const proxies = feed.proxy?.proxies;
  const refused = feed.proxy?.lastReload?.outcome === "refused" ? feed.proxy.lastReload : null;
  return (
    <>
      <nav aria-label="Pages">
        <a class="brand" href="#">Tailback</a>
        <Link to="" route={route} title="Models" />
        <Link to="decisions" route={route} title="Decisions" />
        {feed.proxy?.placement ? <Link to="placement" route={route} title="Placement" /> : null}
        {proxies ? <Link to="proxies" route={route} title="Proxies" /> : null}
        <span class="status" role="status">
          {feed.connected ? null : <span class="bad">The proxy does not answer; trying again</span>}
          {feed.connected && feed.proxy?.draining ? <span class="warn">draining</span> : null}
          {refused ? <span class="bad">The configuration of {clock(refused.time)} is wrong and not in force; the log says why</span> : null}
          {feed.proxy ? <span class="faint">{feed.proxy.version}</span> : null}
        </span>
      </nav>
      {content(feed, route)}
      <footer>
        As data: <a href="models">/models</a> <a href="replicas">/replicas</a> <a href="decisions">/decisions</a> <a href="servers">/servers</a> <a href="metrics">/metrics</a>
        {feed.proxy ? <span class="reloaded">{configuration(feed.proxy.lastReload)}</span> : null}
        {feed.proxy?.controllable ? <Reload /> : null}
      </footer>
    </>
  );
}

function content(feed: Feed, route: string) {
  if (route.startsWith("model/")) {
    const name = decodeURIComponent(route.slice("model/".length));
    // Another model is another page: nothing of the one before is asked of it.
    return <ModelPage key={name} feed={feed} name={name} />;
  }
  if (route === "decisions") return <main><h1>Decisions</h1><Decisions decisions={feed.decisions} /></main>;
  if (route === "placement") return <Placement />;
  if (route === "proxies" && feed.proxy?.proxies) return <Proxies proxies={feed.proxy.proxies} />;
  return <Overview feed={feed} />;
}

/** Since when the configuration is in force, or why it is not. */
function configuration(last: Proxy["lastReload"]): string {
  if (!last) return "Configuration: as at the start";
  const words = { reloaded: "reloaded", unchanged: "read, and unchanged,", refused: "refused" };
  return `Configuration: ${words[last.outcome]} at ${clock(last.time)}`;
}

function Link({ to, route, title }: { to: string; route: string; title: string }) {
  const here = to === "" ? route === "" || route.startsWith("model/") : route === to;
  return <a href={`#${to}`} aria-current={here ? "page" : undefined}>{title}</a>;
}

render(<Page feed={new Feed("events")} />, document.getElementById("page")!);
