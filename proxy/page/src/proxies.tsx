import type { Proxy } from "./feed";
import { seconds } from "./format";

/** The proxies that act as one with this one. */
export function Proxies({ proxies }: { proxies: NonNullable<Proxy["proxies"]> }) {
  return (
    <main>
      <h1>Proxies</h1>
      {proxies.trouble.map((trouble) => <p key={trouble} class="bad">{trouble}</p>)}
      <div class="scroll" tabIndex={0} role="region" aria-label="Proxies">
        <table>
          <thead><tr><th scope="col" class="text">Proxy</th><th scope="col" class="text">Address</th><th scope="col" class="text">Role</th><th scope="col" class="text">Connection</th></tr></thead>
          <tbody>
            <tr><th scope="row" class="name">{proxies.instance}</th><td class="text">this one</td><td class="text">{proxies.leads ? "leads" : "follows"}</td><td class="text"></td></tr>
            {proxies.peers.map((peer) => (
              <tr key={peer.instance}>
                <th scope="row" class="name">{peer.instance}</th>
                <td class="text">{peer.address}</td>
                <td class="text">{peer.leads ? "leads" : "follows"}</td>
                <td class="text">{peer.lostSeconds === null ? "connected" : <span class="bad">lost for {seconds(peer.lostSeconds)}</span>}</td>
              </tr>
            ))}
            {proxies.notHeard.map((address) => (
              <tr key={address}><th scope="row" class="name">–</th><td class="text">{address}</td><td class="text">–</td><td class="text bad">cannot be reached</td></tr>
            ))}
          </tbody>
        </table>
      </div>
    </main>
  );
}
