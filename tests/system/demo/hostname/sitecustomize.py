"""The host name of a worker where the system lets nobody but root give one; see ../host.py."""

import os
import socket

socket.gethostname = lambda: os.environ["DEMO_HOST"]
