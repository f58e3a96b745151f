// Tells pages of clients that have this one in a frame whether somebody signed in or out
// since they got their session_state, OpenID Connect Session Management 1.0 Section 3.2.
// It hashes by itself, because browsers without a secure context, and old ones, do not.
(function () {
  "use strict";

  var k = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
  ];

  function rotate(x, n) { return (x >>> n) | (x << (32 - n)); }

  // sha256 is the hash of a text in hexadecimal, FIPS 180-4 Section 6.2.
  function sha256(text) {
    var bytes = unescape(encodeURIComponent(text)); // UTF-8
    var h = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    var words = [], w = [], i, t, a, s0, s1, t1, t2, hex = "";
    var blocks = ((bytes.length + 8) >> 6) + 1;
    for (i = 0; i < blocks * 16; i++) words[i] = 0;
    for (i = 0; i < bytes.length; i++) words[i >> 2] |= bytes.charCodeAt(i) << (24 - (i & 3) * 8);
    words[bytes.length >> 2] |= 0x80 << (24 - (bytes.length & 3) * 8);
    words[blocks * 16 - 1] = bytes.length * 8;
    for (i = 0; i < words.length; i += 16) {
      a = h.slice();
      for (t = 0; t < 64; t++) {
        if (t < 16) {
          w[t] = words[i + t] | 0;
        } else {
          s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ (w[t - 15] >>> 3);
          s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ (w[t - 2] >>> 10);
          w[t] = (w[t - 16] + s0 + w[t - 7] + s1) | 0;
        }
        s1 = rotate(a[4], 6) ^ rotate(a[4], 11) ^ rotate(a[4], 25);
        t1 = (a[7] + s1 + ((a[4] & a[5]) ^ (~a[4] & a[6])) + k[t] + w[t]) | 0;
        s0 = rotate(a[0], 2) ^ rotate(a[0], 13) ^ rotate(a[0], 22);
        t2 = (s0 + ((a[0] & a[1]) ^ (a[0] & a[2]) ^ (a[1] & a[2]))) | 0;
        a = [(t1 + t2) | 0, a[0], a[1], a[2], (a[3] + t1) | 0, a[4], a[5], a[6]];
      }
      for (t = 0; t < 8; t++) h[t] = (h[t] + a[t]) | 0;
    }
    for (i = 0; i < 8; i++) hex += ("0000000" + (h[i] >>> 0).toString(16)).slice(-8);
    return hex;
  }

  // state is what the server has told this browser, "" when nobody is signed in.
  function state() {
    var name = (location.protocol === "https:" ? "__Host-" : "") + "hufu_session_state=";
    var all = document.cookie.split("; ");
    for (var i = 0; i < all.length; i++) {
      if (all[i].indexOf(name) === 0) return all[i].substring(name.length);
    }
    return "";
  }

  // judge answers a message: a client id, a space, and a session_state.
  function judge(message, origin) {
    var space, client, given, dot, salt;
    if (typeof message !== "string") return "error";
    space = message.lastIndexOf(" ");
    client = message.substring(0, space);
    given = message.substring(space + 1);
    dot = given.indexOf(".");
    salt = given.substring(dot + 1);
    if (space < 1 || dot < 1 || salt === "") return "error";
    try {
      return sha256(client + " " + origin + " " + state() + " " + salt) + "." + salt === given ? "unchanged" : "changed";
    } catch (_) { // half of a character
      return "error";
    }
  }

  // A browser that keeps cookies from frames of other sites seems to have nobody signed
  // in. To say changed there would have the client ask again and again. Over plain http, as
  // on one's own machine, every browser keeps them.
  function answer(verdict, origin, reply) {
    if (verdict !== "changed" || state() !== "") return reply(verdict);
    if (location.protocol === "http:" && new URL(origin).hostname !== location.hostname) return reply("error");
    if (!document.hasStorageAccess) return reply(verdict);
    document.hasStorageAccess().then(function (has) { reply(has ? verdict : "error"); }, function () { reply(verdict); });
  }

  window.addEventListener("message", function (e) {
    if (!e.source || e.source === window || !e.origin || e.origin === "null") return;
    answer(judge(e.data, e.origin), e.origin, function (text) { e.source.postMessage(text, e.origin); });
  });
})();
