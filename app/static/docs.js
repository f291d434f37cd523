// The API's documentation. A feed never ends, so trying it out would load for ever: it is said how to follow it instead.
const page = document.querySelector("#swagger-ui");

SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: page.dataset.url,
  deepLinking: true,
  layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis],
  showExtensions: true,
  requestInterceptor(request) {
    if (new URL(request.url, location).pathname === page.dataset.feed) {
      throw new Error(`This feed does not end. Follow it with: curl -N '${request.url}'`);
    }
    return request;
  },
});
