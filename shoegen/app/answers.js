// The page hears of all answers by one stream, which the server ends as soon as none is outstanding. Gradio's client
// takes an event that it hands in while that end is on its way for one that the old stream will answer, and waits for
// ever. Here the stream goes on as long as any answer is outstanding, and Gradio hears of its end after the last one.
(() => {
  const ask = window.fetch.bind(window);
  const outstanding = new Set(); // events that are being handed in, or have no answer yet
  const early = new Set(); // events whose answer came before the receipt

  async function handIn(input, init) {
    const underway = {};
    outstanding.add(underway);
    try {
      const response = await ask(input, init);
      const { event_id: event } = await response.clone().json().catch(() => ({})); // not JSON: a proxy's error
      if (event && !early.delete(event)) outstanding.add(event);
      return response;
    } finally {
      outstanding.delete(underway);
    }
  }

  async function listen(input, init) {
    const first = await ask(input, init);
    if (!first.ok) return first;
    const body = new ReadableStream({
      async start(answers) {
        try {
          let end = await pass(first, answers);
          while (end && outstanding.size) end = await pass(await ask(input, init), answers);
          if (end) answers.enqueue(end);
          answers.close();
        } catch (error) {
          answers.error(error);
        }
      },
    });
    return new Response(body, { status: first.status, headers: first.headers });
  }

  // Hands on all messages of a response but the one that says the stream's end, which it gives back.
  async function pass(response, answers) {
    const encoder = new TextEncoder();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return null;
      text += value;
      for (let end; (end = text.indexOf("\n\n") + 2) > 1; text = text.slice(end)) {
        const bytes = encoder.encode(text.slice(0, end));
        const message = JSON.parse(text.slice("data: ".length, end));
        if (message.msg === "close_stream") return bytes;
        const event = message.event_id;
        if (message.msg === "process_completed" && !outstanding.delete(event)) early.add(event);
        answers.enqueue(bytes);
      }
    }
  }

  window.fetch = (input, init) => {
    const { pathname } = new URL(input.url ?? input, location.href);
    if (pathname.endsWith("/queue/join")) return handIn(input, init);
    if (pathname.endsWith("/queue/data")) return listen(input, init);
    return ask(input, init);
  };
})();
