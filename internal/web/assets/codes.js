// Copies recovery codes, where the browser lets a page do that. Without scripts the button
// stays hidden.
(function () {
  "use strict";
  var button = document.getElementById("copy-codes");
  var said = document.getElementById("codes-copied");
  if (!button || !said || !navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", function () {
    var codes = Array.prototype.map.call(document.querySelectorAll("#recovery-codes code"), function (code) { return code.textContent; });
    navigator.clipboard.writeText(codes.join("\n") + "\n").then(
      function () { said.textContent = said.dataset.copied; },
      function () { said.textContent = said.dataset.failed; });
  });
})();
