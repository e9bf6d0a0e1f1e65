"""A page to play with: ``tinygrad-mnist play``.

How to add a room, say ``draw``:

1. ``drawing.py``: a class that derives from :class:`~tinygrad_mnist.play.engine.Room`, with ``name = "draw"`` and
   ``title = "Draw"``. The page may call each method with ``@command``: its arguments come from JSON, and so does its
   result go back; arrays go as they are. A ``TinygradError`` is shown to the user, so raise it with a sentence.
2. ``rooms.py``: add the class to ``ROOMS``. Their order is that of the tabs.
3. ``static/draw.js``: a plain ES module with ``export const mount = (place, engine, state) => …``. ``place`` is an
   empty element, ``await engine.ask("draw", "read", {…})`` calls a command, ``engine.on("draw", "done", f)`` hears what
   ``self.publish("done", …)`` tells, and ``state`` holds the part of the URL that is the room's own. What ``mount``
   returns is called when the user leaves. ``dom.js`` makes elements; use the classes and the colours of ``style.css``.
4. Runs: ``self.engine.runs`` maps names to run folders, the current one last; ``self.engine.offer(name, content)``
   gives an address at which the page finds a file, to download or to show in a frame.
"""
