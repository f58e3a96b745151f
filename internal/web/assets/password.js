// Lets a person look at the password they type, and says so when capitals are locked.
// Without scripts the button and the hint stay hidden.
(function () {
  "use strict";
  var button = document.getElementById("reveal");
  var field = document.getElementById("password");
  if (!button || !field) return;
  function show(visible) {
    field.type = visible ? "text" : "password";
    button.setAttribute("aria-pressed", String(visible));
  }
  button.hidden = false;
  button.addEventListener("click", function () {
    show(field.type === "password");
    field.focus();
  });
  // Password managers save a field only when it is one of passwords.
  field.form.addEventListener("submit", function () { show(false); });

  var hint = document.getElementById("caps-lock");
  if (!hint) return;
  function tell(locked) {
    if (hint.hidden !== locked) return;
    hint.hidden = !locked;
    hint.textContent = locked ? hint.dataset.locked : "";
  }
  ["keydown", "keyup", "mousedown"].forEach(function (kind) {
    field.addEventListener(kind, function (e) {
      if (e.getModifierState) tell(e.getModifierState("CapsLock")); // what a password manager sends is no key
    });
  });
  field.addEventListener("blur", function () { tell(false); });
})();
