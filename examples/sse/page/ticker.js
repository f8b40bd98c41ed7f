// The page of prices: a WebSocket, or server-sent events where none can be opened. Both bring the same changes, and both
// begin after the last one that the page has seen.

import { backoff } from "./backoff.js";

const MAX_SHOWN = 200;   // changes kept in the list

const $ = (id) => document.getElementById(id);
const rows = new Map();  // symbol: its row
let last = 0;            // the number of the last change
let attempt = 0;
let worked = false;      // a WebSocket has been open: where none opens now, the site is away
let refused = false;     // none has: something on the way does not let them through

connect();

function connect() {
  state("connecting", "connecting");
  if (refused) byEvents();
  else bySocket();
}

// since is an address that tells what the page has seen.
function since(path) {
  const url = new URL(path, location.href);
  if (last > 0) url.searchParams.set("since", last);
  return url;
}

function bySocket() {
  const url = since("/ws/prices/");
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url);
  socket.onopen = () => {
    worked = true;
    attempt = 0;
    state("open", "live, by WebSocket");
  };
  socket.onmessage = (message) => hear(JSON.parse(message.data));
  socket.onclose = () => {
    if (worked) {
      later();
      return;
    }
    refused = true;
    connect();
  };
}

function byEvents() {
  const events = new EventSource(since("/prices/"));
  events.onopen = () => {
    attempt = 0;
    state("open", "live, by server-sent events");
  };
  events.onmessage = (message) => hear(JSON.parse(message.data));
  events.onerror = () => {
    state("waiting", "reconnecting");
    if (events.readyState !== EventSource.CLOSED) return;  // it comes back by itself, and tells the last id
    later();
  };
}

function later() {
  const delay = backoff(attempt++);
  state("waiting", "reconnecting in " + Math.ceil(delay / 1000) + " s");
  setTimeout(connect, delay);
}

function state(name, text) {
  $("status").dataset.state = name;
  $("status").textContent = text;
}

// hear shows a change, once: one that was made while the page caught up comes twice.
function hear(change) {
  if (change.number <= last) return;
  last = change.number;
  $("empty").hidden = true;
  showPrice(change);
  showChange(change);
}

function showPrice({ symbol, cents, moved }) {
  let row = rows.get(symbol);
  if (!row) {
    row = document.createElement("tr");
    row.append(element("td", "", symbol), element("td"), element("td"));
    rows.set(symbol, row);
    $("prices").append(...[...rows.keys()].sort().map((s) => rows.get(s)));
  }
  row.cells[1].textContent = money(cents);
  row.cells[2].replaceWith(element("td", moved < 0 ? "down" : "up", signed(moved)));
}

function showChange({ number, symbol, cents, moved }) {
  const item = document.createElement("li");
  item.dataset.number = number;
  item.append(
    element("span", "number", "#" + number), element("span", "", symbol), element("span", "moved", signed(moved)),
    element("span", "", money(cents)));
  $("changes").prepend(item);
  while ($("changes").childElementCount > MAX_SHOWN) $("changes").lastElementChild.remove();
}

function money(cents) { return (cents / 100).toFixed(2); }

function signed(cents) { return (cents < 0 ? "−" : "+") + money(Math.abs(cents)); }

// element makes an element that holds text and nothing but text.
function element(tag, className = "", text = "") {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.textContent = text;
  return e;
}
