// The notes: one WebSocket that comes back by itself, unless the login has ended.

import { backoff } from "./backoff.js";

const LOGGED_OUT = 4401;

const $ = (id) => document.getElementById(id);
let socket = null;
let attempt = 0;

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket?.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ text: $("note").value }));
  $("note").value = "";
});
connect();

function connect() {
  const url = new URL("/ws/notes", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const ours = socket = new WebSocket(url);
  state("connecting", "connecting");
  ours.onopen = () => {
    attempt = 0;
    state("open", "connected");
  };
  ours.onmessage = (event) => show(JSON.parse(event.data));
  ours.onclose = async (event) => {
    if (event.code === LOGGED_OUT || await refused()) {
      location.replace("/login?ended");
      return;
    }
    state("waiting", "reconnecting");
    setTimeout(connect, backoff(attempt++));
  };
}

// A page cannot see why its handshake was refused, so it asks as a page: without a login, the notes lead elsewhere.
async function refused() {
  try {
    return (await fetch("/", { redirect: "manual" })).type === "opaqueredirect";
  } catch {
    return false;
  }
}

function state(name, text) {
  $("status").dataset.state = name;
  $("status").textContent = text;
}

function show(message) {
  if (message.user !== undefined) {
    $("user").textContent = message.user;
    return;
  }
  const line = document.createElement("li");
  line.textContent = message.text;
  $("log").prepend(line);
}
