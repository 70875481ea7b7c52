// Stands in each page before the theme's script, which asks for the search index while the page loads. With this it asks
// when somebody opens the search, or came from it.
(() => {
  "use strict";
  const opened = new Promise((resolve) => {
    const search = ({ target }) => { if (target.matches?.("#__search:checked, .md-search__input")) resolve(); };
    for (const move of ["change", "focusin"]) addEventListener(move, search);
    if (/[?&][qh]=/.test(location.search)) resolve();
  });
  window.XMLHttpRequest = class extends XMLHttpRequest {
    open(method, url, ...rest) {
      this.waits = String(url).endsWith("/search/search_index.json");
      super.open(method, url, ...rest);
    }
    send(body) {
      if (this.waits) opened.then(() => super.send(body));
      else super.send(body);
    }
  };
})();
