// The page: two WebSockets, one to the Go server and one to Daphne, and what each of them hears.

const MAX_SHOWN = 100;   // items kept in each list
const LONGEST = 15_000;  // ms, the longest wait before a new attempt

for (const section of document.querySelectorAll("section[data-socket]")) open(section, 500);

// Browsers read the form when they send it, and the answer 204 leaves the page as it is.
const form = document.getElementById("form");
form.addEventListener("submit", () => setTimeout(() => form.reset()));

function open(section, delay) {
  const part = (selector) => section.querySelector(selector);
  const url = new URL(section.dataset.socket, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.onopen = () => {
    part(".status").textContent = "connected";
    delay = 500;
  };
  socket.onmessage = (event) => {
    const heard = JSON.parse(event.data);
    part(".refusal").textContent = heard.error ?? "";
    if (heard.error === undefined) show(part("ol"), heard);
  };
  socket.onclose = () => {
    part(".status").textContent = "reconnecting";
    setTimeout(open, delay * (0.5 + Math.random() / 2), section, Math.min(LONGEST, 2 * delay));
  };
  part("form").onsubmit = (event) => {
    event.preventDefault();
    if (socket.readyState !== WebSocket.OPEN) {
      part(".refusal").textContent = "There is no connection. Try again in a moment.";
      return;
    }
    socket.send(JSON.stringify({ text: part("input").value }));
    part("input").value = "";
  };
}

function show(list, { text, by }) {
  const item = document.createElement("li");
  item.append(element("b", by), element("span", text));
  list.prepend(item);
  while (list.childElementCount > MAX_SHOWN) list.lastElementChild.remove();
}

// element makes an element that holds text and nothing but text.
function element(tag, text) {
  const e = document.createElement(tag);
  e.textContent = text;
  return e;
}
