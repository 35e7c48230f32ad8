// Browsers start no Worker for a page that was opened as a file. The search then runs in a hidden frame instead.
// (mkdocs-material's plugin "offline" would fetch such a script from a network, were there none of this name.)
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.inside = frame.contentWindow
      // What the script posts arrives as a message of this page, whose source is the frame.
      window.addEventListener("message", event => {
        if (event.source !== this.inside) return
        event.stopImmediatePropagation()
        const message = new MessageEvent("message", { data: event.data })
        this.dispatchEvent(message)
        if (this.onmessage) this.onmessage(message)
      })
      const page = this.inside.document
      page.open()
      page.write(`<script>
        postMessage = message => parent.postMessage(message, "*")
        importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done, failed) => {
          const script = Object.assign(document.createElement("script"), { src: url, onload: done, onerror: failed })
          document.body.append(script)
        })), Promise.resolve())
      <\/script><body><script src="${new URL(url, location)}"><\/script></body>`)
      this.ready = new Promise(done => this.inside.addEventListener("load", done))
      page.close()
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {
      this.inside.frameElement.remove()
    }
  }
}
