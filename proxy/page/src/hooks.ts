import { useEffect, useReducer, useState } from "preact/hooks";
import type { Feed } from "./feed";

/** Renders again with each turn of the feed. */
export function useFeed(feed: Feed): void {
  const [, again] = useReducer((turns: number) => turns + 1, 0);
  useEffect(() => feed.listen(() => again(undefined)), [feed]);
}

/** The part of the address behind `#`. */
export function useRoute(): string {
  const [route, set] = useState(location.hash.slice(1));
  useEffect(() => {
    const changed = () => set(location.hash.slice(1));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

/** What `path` answers, asked once a second while it is shown; null before there is an answer. */
export function usePolled<T>(path: string, each?: (answer: T) => void): T | null {
  const [answer, set] = useState<T | null>(null);
  useEffect(() => {
    set(null);
    let open = true;
    const ask = async () => {
      try {
        const response = await fetch(path);
        if (!response.ok) return;
        const answer: T = await response.json();
        if (!open) return;
        each?.(answer);
        set(answer);
      } catch {
        // The head of the page says that the proxy is away.
      }
    };
    void ask();
    const timer = setInterval(ask, 1000);
    return () => {
      open = false;
      clearInterval(timer);
    };
  }, [path]);
  return answer;
}

export function modelLink(name: string): string {
  return `#model/${encodeURIComponent(name)}`;
}
