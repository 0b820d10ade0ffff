#!/bin/sh
printf 'Content-Type: text/html\n\n<h1>Welcome</h1>'
date
gm version | head -n 1
