<?php
require __DIR__ . '/lib/page.php';
exec('gm version', $lines);
page('Pictures by', $lines[0] ?? 'nobody');
