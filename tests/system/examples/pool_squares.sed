s/worker [0-9]*$/worker PID/
s/^main is [0-9]*$/main is PID/
