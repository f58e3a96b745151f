// Gets a challenge, has a passkey answer it, or adds one, and sends the answer as a form.
(function () {
  "use strict";
  var form = document.getElementById("passkey-form");
  var button = document.getElementById("passkey-submit");
  var message = document.getElementById("passkey-message");
  if (!form || !button || !window.PublicKeyCredential || !window.AbortController) return;
  var adding = form.dataset.ceremony === "add";
  var running; // what waits for the person
  var offering; // and is only in the list

  function bytes(text) {
    return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), function (c) { return c.charCodeAt(0); });
  }
  function text(buffer) {
    return btoa(String.fromCharCode.apply(null, new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }
  function say(key) {
    message.hidden = !key;
    message.textContent = key ? message.dataset[key] : "";
  }
  function options() {
    return fetch(form.dataset.options).then(function (answer) {
      if (answer.redirected) location.reload(); // to sign in once more
      if (!answer.ok || answer.redirected) throw new Error(answer.status);
      return answer.json();
    }).then(function (o) {
      o.challenge = bytes(o.challenge);
      (o.allowCredentials || o.excludeCredentials).forEach(function (c) { c.id = bytes(c.id); });
      if (o.user) o.user.id = bytes(o.user.id);
      return o;
    });
  }
  function send(credential) {
    var from = credential.response, response = { clientDataJSON: text(from.clientDataJSON) };
    if (adding) {
      response.attestationObject = text(from.attestationObject);
      response.transports = from.getTransports ? from.getTransports() : [];
    } else {
      response.authenticatorData = text(from.authenticatorData);
      response.signature = text(from.signature);
      if (from.userHandle) response.userHandle = text(from.userHandle);
    }
    form.elements.credential.value = JSON.stringify({
      id: credential.id, rawId: text(credential.rawId), type: credential.type,
      authenticatorAttachment: credential.authenticatorAttachment || "", response: response
    });
    form.submit();
  }
  function begin(quietly) {
    if (running) running.abort();
    var mine = running = new AbortController();
    offering = quietly;
    options().then(function (o) {
      var request = { publicKey: o, signal: mine.signal };
      if (quietly) request.mediation = "conditional";
      if (mine !== running) return null;
      return adding ? navigator.credentials.create(request) : navigator.credentials.get(request);
    }).then(function (credential) {
      if (credential && mine === running) send(credential);
    }).catch(function (error) {
      if (mine !== running || quietly) return; // nobody waits for it
      say({ NotAllowedError: "cancelled", AbortError: "cancelled", InvalidStateError: "known" }[error.name] || "failed");
      offer();
    });
  }
  // Passkeys also stand in the list that the browser shows at the name field.
  function offer() {
    running = null;
    offering = false;
    if (form.dataset.ceremony !== "sign-in" || !PublicKeyCredential.isConditionalMediationAvailable) return;
    PublicKeyCredential.isConditionalMediationAvailable().then(function (can) {
      if (can && !running) begin(true);
    });
  }

  if (adding) {
    document.getElementById("passkey-unable").hidden = true;
    // What was removed here need not be offered there any more.
    if (PublicKeyCredential.signalAllAcceptedCredentials) {
      PublicKeyCredential.signalAllAcceptedCredentials({
        rpId: form.dataset.rp, userId: form.dataset.user, allAcceptedCredentialIds: form.dataset.accepted.split(" ").filter(Boolean)
      }).catch(function () {});
    }
  }
  button.hidden = false;
  button.addEventListener("click", function () {
    say("");
    begin(false);
  });
  setInterval(function () { if (offering) begin(true); }, 240000); // a challenge lasts five minutes
  window.addEventListener("pageshow", function (e) { if (e.persisted) offer(); });
  offer();
})();
