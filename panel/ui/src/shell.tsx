import type { ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { session, signIn, signOut, token, wantsToken } from "./api";
import { readOnly } from "./base";
import { firing } from "./feed";
import { Boundary } from "./boundary";
import { Icon } from "./icons";
import { useNow } from "./hooks";
import { Alerts } from "./pages/alerts";
import { Errors } from "./pages/errors";
import { JobPage } from "./job/page";
import { Jobs } from "./pages/jobs";
import { Overview } from "./pages/overview";
import { Link, route } from "./router";
import { connections, reconnectNow } from "./sse";
import { nextTheme, theme } from "./theme";

const pages: { path: string; title: string; page: ComponentType }[] = [
  { path: "", title: "Overview", page: Overview },
  { path: "jobs", title: "Jobs", page: Jobs },
  { path: "errors", title: "Errors", page: Errors },
  { path: "alerts", title: "Alerts", page: Alerts },
];

/** Shell is what surrounds every page. */
export function Shell() {
  const { path } = route.value;
  const job = /^jobs\/(.+)$/.exec(path);
  const current = job ? "jobs" : path.replace(/\/$/, "");
  const found = pages.find((p) => p.path === current);
  useEffect(() => {
    if (!job) document.title = (found ? found.title : "Not found") + " · Tidings";
  }, [path]);
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>Skip to content</a>
      <TopBar current={current} />
      <main id="main" tabIndex={-1} key={session.value}>
        <Boundary key={path}>
        {wantsToken.value ? (
          <SignIn why={wantsToken.value} />
        ) : job ? (
          <JobPage key={job[1]} id={decodeURIComponent(job[1]!)} />
        ) : found ? (
          <found.page />
        ) : (
          <p class="empty">There is no such page.</p>
        )}
        </Boundary>
      </main>
    </>
  );
}

function skip(e: Event) {
  e.preventDefault();
  document.getElementById("main")!.focus();
}

function TopBar({ current }: { current: string }) {
  return (
    <header class="top">
      <Link to="" class="brand" aria-label="Tidings, overview">
        <Icon name="logo" /> <span>Tidings</span>
      </Link>
      <nav aria-label="Pages">
        {pages.map((p) => (
          <Link key={p.path} to={p.path} aria-current={p.path === current ? "page" : undefined}>
            {p.title}
            {p.path === "alerts" && firing.value > 0 && (
              <span class="pill bad" aria-label={`${firing.value} firing`}>{firing.value}</span>
            )}
          </Link>
        ))}
      </nav>
      <span class="grow" />
      {readOnly && <span class="tag" title="The server takes no changes from people">read-only</span>}
      <Live />
      <button class="quiet icon" onClick={nextTheme} title={`Colours: ${theme.value}`} aria-label={`Colours: ${theme.value}. Change`}>
        <Icon name={theme.value === "light" ? "sun" : theme.value === "dark" ? "moon" : "auto"} />
      </button>
      {token() && !wantsToken.value && (
        <button class="quiet icon" onClick={signOut} title="Sign out" aria-label="Sign out">
          <Icon name="out" />
        </button>
      )}
    </header>
  );
}

/** Live says whether what is shown is what happens. */
function Live() {
  const all = [...connections.value.values()];
  const broken = all.find((c) => c.link === "waiting" || c.link === "refused");
  const connecting = all.some((c) => c.link === "connecting");
  const waiting = broken?.link === "waiting";
  const now = useNow(waiting ? 250 : 60_000);
  const left = Math.max(0, Math.ceil(((broken?.retryAt ?? 0) - now) / 1000));
  const done = all.length > 0 && all.every((c) => c.link === "ended");
  const kind = broken ? "off" : connecting || all.length === 0 ? "wait" : done ? "done" : "on";
  return (
    <span class={"live " + kind} role="status" data-live={kind} title={broken?.why ?? (done ? "The job has ended; everything is here." : undefined)}>
      <i class="dot" aria-hidden="true" />
      <span>{broken ? (waiting ? "Reconnecting" : "Not live") : kind === "wait" ? "Connecting" : done ? "Complete" : "Live"}</span>
      {waiting && (
        <button class="quiet small" onClick={reconnectNow} aria-label="Reconnect now">
          {left > 0 ? `in ${left} s` : "now"}
        </button>
      )}
    </span>
  );
}

function SignIn({ why }: { why: string }) {
  const [value, set] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = (e: Event) => {
    e.preventDefault();
    if (value.trim()) signIn(value.trim());
  };
  return (
    <form class="signin card" onSubmit={submit}>
      <h1>Sign in</h1>
      <p>{why}</p>
      <label>
        API key or token
        <input ref={field} type="password" autocomplete="off" spellcheck={false} value={value} onInput={(e) => set(e.currentTarget.value)} />
      </label>
      <p class="dim">It needs the permission read, and is kept in this tab until you close it.</p>
      <button class="primary" type="submit" disabled={!value.trim()}>Sign in</button>
    </form>
  );
}
