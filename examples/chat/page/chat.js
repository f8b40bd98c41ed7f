// The page of a room: one WebSocket that comes back by itself, and a log that only ever receives text.

import { backoff } from "./backoff.js";

const MAX_SHOWN = 500;       // messages kept in the log
const STABLE_AFTER = 5_000;  // ms a connection must last before the backoff begins anew

const $ = (id) => document.getElementById(id);
const room = decodeURIComponent(location.pathname.split("/")[1]);

if (room) {
  enterRoom();
} else {
  showLobby();
}

function showLobby() {
  $("lobby").hidden = false;
  $("join-name").value = storedName();
  $("join-room").value = "lobby";
  $("join").addEventListener("submit", (event) => {
    event.preventDefault();
    storeName($("join-name").value);
    location.href = "/" + encodeURIComponent($("join-room").value) + "/";
  });
  $("join-name").focus();
}

// A name belongs to its tab, so two tabs can be two people; a new tab begins with the last name used.
function storedName() {
  return recall("sessionStorage", "name") ?? recall("localStorage", "name") ?? "guest-" + (100 + Math.floor(Math.random() * 900));
}

function storeName(name) {
  keep("sessionStorage", "name", name);
  keep("localStorage", "name", name);
}

// A browser may refuse storage. The page then forgets at a reload, and works.
function recall(store, key) {
  try { return window[store].getItem(key); } catch { return null; }
}

function keep(store, key, value) {
  try { window[store].setItem(key, value); } catch { /* see above */ }
}

function enterRoom() {
  const draftKey = "draft " + room;
  const unconfirmed = new Map();   // id of a sent message: its text, until the server has sent it back
  let socket = null;
  let attempt = 0;
  let retry = 0;                   // timer of the next attempt
  let unread = 0;

  $("room").hidden = false;
  $("room-name").textContent = room;
  $("name").value = storedName();
  $("message").value = recall("sessionStorage", draftKey) ?? "";
  $("name").addEventListener("change", () => storeName($("name").value));
  $("message").addEventListener("input", () => {
    saveDraft();
    $("notice").textContent = "";
  });
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    say();
  });
  $("latest").addEventListener("click", toLatest);
  $("scroll").addEventListener("scroll", () => { if (atLatest()) $("latest").hidden = true; });
  addEventListener("online", () => { if (!socket) connect(); });
  addEventListener("offline", () => socket?.close());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    countUnread(0);
    if (!socket) connect();   // whoever looks does not want to wait
  });
  countUnread(0);
  connect();
  $("message").focus();

  function connect() {
    clearTimeout(retry);
    const url = new URL("/ws/chat/" + encodeURIComponent(room) + "/", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const ours = socket = new WebSocket(url);
    let stable = 0;
    state("connecting", "connecting");
    ours.onopen = () => {
      state("open", "connected");
      stable = setTimeout(() => { attempt = 0; }, STABLE_AFTER);
    };
    ours.onmessage = (event) => hear(JSON.parse(event.data));
    ours.onclose = () => {
      clearTimeout(stable);
      socket = null;
      takeBack([...unconfirmed.keys()]);
      const delay = backoff(attempt++);
      state("waiting", "reconnecting in " + Math.ceil(delay / 1000) + " s");
      retry = setTimeout(connect, delay);
    };
  }

  function state(name, text) {
    $("room").dataset.state = name;
    $("status").textContent = text;
    $("send").setAttribute("aria-disabled", String(name !== "open"));
  }

  function say() {
    const text = $("message").value.trim();
    if (text === "") return;
    if (socket?.readyState !== WebSocket.OPEN) {
      $("notice").textContent = "Not connected. Your text stays here until you are back.";
      return;
    }
    const id = Date.now().toString(36) + Math.random().toString(36).slice(2, 10);
    unconfirmed.set(id, text);
    socket.send(JSON.stringify({ message: text, user: $("name").value, id }));
    $("message").value = "";
    saveDraft();
    toLatest();
  }

  function hear(event) {
    if (event.error !== undefined) {
      $("notice").textContent = event.error;
      takeBack([event.id]);
      return;
    }
    const own = unconfirmed.delete(event.id);
    const follow = own || atLatest();
    show(event, own);
    if (follow) toLatest();
    else $("latest").hidden = false;
    if (document.hidden) countUnread(unread + 1);
  }

  // takeBack returns what was not confirmed to where it was typed.
  function takeBack(ids) {
    const texts = ids.map((id) => unconfirmed.get(id)).filter((text) => text !== undefined);
    ids.forEach((id) => unconfirmed.delete(id));
    if (texts.length === 0) return;
    $("message").value = [...texts, $("message").value].filter(Boolean).join(" ");
    saveDraft();
  }

  function show(event, own) {
    const who = element("span", "who", event.user);
    who.style.setProperty("--hue", hue(event.user));
    const when = new Date(event.time);
    const time = element("time", "", when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = event.time;
    time.title = when.toLocaleString();
    const item = element("li", own ? "own" : "");
    item.append(who, time, element("p", "text", event.message));
    $("log").append(item);
    $("empty").hidden = true;
    while ($("log").childElementCount > MAX_SHOWN) $("log").firstElementChild.remove();
  }

  function saveDraft() { keep("sessionStorage", draftKey, $("message").value); }

  function countUnread(n) {
    unread = n;
    document.title = (n > 0 ? "(" + n + ") " : "") + room + " · Tideway chat";
  }
}

// element makes an element that holds text and nothing but text.
function element(tag, className, text = "") {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.textContent = text;
  return e;
}

function hue(name) {
  let h = 0;
  for (const c of name) h = (h * 31 + c.codePointAt(0)) % 360;
  return h;
}

function atLatest() {
  const s = $("scroll");
  return s.scrollHeight - s.scrollTop - s.clientHeight < 40;
}

function toLatest() {
  $("scroll").scrollTop = $("scroll").scrollHeight;
  $("latest").hidden = true;
}
