"""The hub's pages: what is left, how cold it is, what is wrong, in a browser, live.

They stand on NiceGUI, in the hub's own process, under ``/ui/``. A page is a file here and its name in
`kegnet_client.hub.dashboard.mount.PAGES`. Texts of others are shown as text: no page makes HTML or Markdown of them.
"""
