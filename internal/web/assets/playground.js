// Reads the answer of the implicit grant from behind the #, where no server sees
// it, and copies commands. Without scripts the page says what to do by hand.
(function () {
  "use strict";
  var answer = document.getElementById("answer");
  var fragment = location.hash.slice(1);
  if (answer && fragment && !answer.value) {
    answer.value = fragment;
    var token = new URLSearchParams(fragment).get("access_token");
    document.querySelectorAll("pre.code, pre.code span").forEach(function (code) {
      if (token && !code.children.length) code.textContent = code.textContent.replace("ACCESS_TOKEN", token);
    });
  }
  document.querySelectorAll("[data-copy]").forEach(function (button) {
    if (!navigator.clipboard) return;
    var label = button.textContent;
    button.hidden = false;
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent).then(function () {
        button.textContent = button.dataset.done;
        setTimeout(function () { button.textContent = label; }, 2000);
      });
    });
  });
})();
