// The page: a WebSocket that comes back by itself, and what it is sent.

import { backoff } from "./backoff.js";

const MAX_SHOWN = 500;       // notices kept in the page
const STABLE_AFTER = 5_000;  // ms a connection must last before the backoff begins anew

const $ = (id) => document.getElementById(id);
let attempt = 0;
connect();

function connect() {
  const url = new URL("/ws/", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url);
  let stable = 0;
  state("connecting", "connecting");
  socket.onopen = () => {
    state("open", "connected");
    stable = setTimeout(() => { attempt = 0; }, STABLE_AFTER);
  };
  socket.onmessage = (event) => {
    const heard = JSON.parse(event.data);
    if (heard.channel !== undefined) greet(heard);
    else show(heard);
  };
  socket.onclose = () => {
    clearTimeout(stable);
    const delay = backoff(attempt++);
    state("waiting", "reconnecting in " + Math.ceil(delay / 1000) + " s");
    setTimeout(connect, delay);
  };
}

function state(name, text) {
  $("status").dataset.state = name;
  $("status").textContent = text;
}

// greet shows the channel, which is another one after each connect, and how to send to it.
function greet({ channel, commands }) {
  $("channel").textContent = channel;
  $("commands").replaceChildren(...commands.map((command) => {
    const item = document.createElement("li");
    const button = element("button", "Copy");
    button.type = "button";
    button.hidden = !navigator.clipboard;  // browsers have one on secure origins only
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(command);
      button.textContent = "Copied";
    });
    item.append(element("code", command), button);
    return item;
  }));
}

function show({ text, time }) {
  const item = document.createElement("li");
  const when = new Date(time);
  const clock = element("time", when.toLocaleTimeString());
  clock.dateTime = time;
  item.append(clock, element("p", text));
  $("notices").prepend(item);
  while ($("notices").childElementCount > MAX_SHOWN) $("notices").lastElementChild.remove();
}

// element makes an element that holds text and nothing but text.
function element(tag, text) {
  const e = document.createElement(tag);
  e.textContent = text;
  return e;
}
