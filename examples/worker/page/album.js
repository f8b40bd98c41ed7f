// The page: pictures go up its WebSocket, and what workers say of them comes down.

import { backoff } from "./backoff.js";

const MAX_BYTES = 900_000;
const SIZES = 4;             // thumbnails of each picture
const STABLE_AFTER = 5_000;  // ms a connection must last before the backoff begins anew

const $ = (id) => document.getElementById(id);
const pictures = new Map();  // id: { file, item, done, finished }
let socket = null;
let attempt = 0;
let retry = 0;               // timer of the next attempt

$("pictures").addEventListener("change", () => {
  for (const file of $("pictures").files) add(file);
  $("pictures").value = "";  // so that the same file can be chosen again
});
addEventListener("online", () => { if (!socket) connect(); });
connect();

function connect() {
  clearTimeout(retry);
  const url = new URL("/ws/album/", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const ours = socket = new WebSocket(url);
  let stable = 0;
  state("connecting", "connecting");
  ours.onopen = () => {
    state("open", "connected");
    stable = setTimeout(() => { attempt = 0; }, STABLE_AFTER);
    for (const [id, picture] of pictures) if (!picture.finished) send(id, picture);
  };
  ours.onmessage = (event) => hear(JSON.parse(event.data));
  ours.onclose = () => {
    clearTimeout(stable);
    socket = null;
    const delay = backoff(attempt++);
    state("waiting", "reconnecting in " + Math.ceil(delay / 1000) + " s");
    retry = setTimeout(connect, delay);
  };
}

function state(name, text) {
  $("status").dataset.state = name;
  $("status").textContent = text;
}

function add(file) {
  const id = Date.now().toString(36) + Math.random().toString(36).slice(2, 10);
  const item = $("item").content.firstElementChild.cloneNode(true);
  item.querySelector(".name").textContent = file.name;
  item.querySelector("progress").max = SIZES;
  $("list").prepend(item);
  const picture = { file, item, done: new Set(), finished: false };
  pictures.set(id, picture);
  if (file.size > MAX_BYTES) {
    fail(picture, "A picture has at most " + MAX_BYTES / 1000 + " kB; this one has " + Math.ceil(file.size / 1000) + ".");
  } else if (socket?.readyState === WebSocket.OPEN) {
    send(id, picture);
  } else {
    say(picture, "waits for the connection");
  }
}

// send announces a picture and sends its bytes. After a lost connection it is called again for what is not finished: the
// workers answer to the connection that asked, and that one has gone.
async function send(id, picture) {
  const to = socket;
  say(picture, "waits for a worker");
  try {
    const data = await picture.file.arrayBuffer();
    if (to.readyState !== WebSocket.OPEN) return;
    to.send(JSON.stringify({ id, name: picture.file.name }));
    to.send(data);
  } catch {
    fail(picture, "This file cannot be read.");
  }
}

// hear takes a report. The same may come twice, when a worker has died and another has begun anew.
function hear(report) {
  const picture = pictures.get(report.id);
  if (!picture || picture.finished) return;
  if (report.error !== undefined) {
    fail(picture, report.error);
    return;
  }
  const { item, done } = picture;
  if (report.thumbnail) {
    show(item.querySelector(".thumbnails"), report.thumbnail, report.worker);
    done.add(report.thumbnail.size);
    item.querySelector("progress").value = done.size;
  }
  picture.finished = done.size === SIZES;
  say(picture, done.size + " of " + SIZES + " by " + report.worker);
}

// show adds a thumbnail in the order of sizes, or replaces the one of its size.
function show(list, { size, width, height, png }, worker) {
  const item = document.createElement("li");
  item.dataset.size = size;
  const image = document.createElement("img");
  image.src = "data:image/png;base64," + png;
  image.width = width;
  image.height = height;
  image.alt = "";
  const caption = document.createElement("p");
  caption.textContent = width + " × " + height;
  caption.title = worker;
  item.append(image, caption);
  const old = [...list.children].find((e) => Number(e.dataset.size) >= size);
  if (!old) list.append(item);
  else if (Number(old.dataset.size) === size) old.replaceWith(item);
  else old.before(item);
}

function say(picture, text) {
  picture.item.querySelector(".state").textContent = text;
}

function fail(picture, text) {
  picture.finished = true;
  picture.item.classList.add("failed");
  say(picture, text);
}
