// The login: a plain form, and a word about why one is here.

const reasons = {
  "?wrong": "Wrong name or password.",
  "?ended": "You were logged out.",
};

document.getElementById("notice").textContent = reasons[location.search] ?? "";
document.getElementById("name").focus();
