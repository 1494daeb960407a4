import os
import signal

print("last words", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
