// Lets a person look at the password they type. Without scripts the button stays hidden.
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
})();
