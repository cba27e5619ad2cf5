"""The portable door under a plain gunicorn, without `tracker serve`:

    gunicorn -c config/gunicorn.conf.py 'tracker.capture.app:create()'

Run `tracker deliver` beside it. Settings come from TRACKER_... variables.
"""

worker_class = "gthread"
threads = 4
worker_tmp_dir = "/dev/shm"  # the heartbeat must not wait for a slow disk
control_socket_disable = True  # else a socket file appears in the working folder
accesslog = None

# Whom to believe about the client is said in tracker.yaml alone (`clients`). gunicorn by itself trusts loopback, where
# a proxy passes on what its clients wrote: `SCRIPT_NAME: /imp` would move the path.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
