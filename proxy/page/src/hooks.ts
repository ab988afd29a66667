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

export function modelLink(name: string): string {
  return `#model/${encodeURIComponent(name)}`;
}
