s/, [0-9]* of 1000000$/, N of 1000000/
s/worker [0-9]* (pid [0-9]*)/worker N (pid PID)/
s/sleeping\( in read\)\{0,1\}\( (wchan [a-z_]*)\)\{0,1\}/sleeping/
s/; 1 thread, .* MiB resident, .*$/; and so on/
