<?php
// A site's maintenance from the command line, by its own user: a dump, an archive, old files.
[, $database, $site] = $argv;
function run(array $command, string $to): void
{
    $process = proc_open($command, [1 => ['file', $to, 'w'], 2 => STDERR], $pipes);
    if (proc_close($process) !== 0) {
        fwrite(STDERR, implode(' ', $command) . " failed\n");
        exit(1);
    }
}
$place = sys_get_temp_dir() . "/backup-$database";
@mkdir($place);
run(['mysqldump', "-u$database", '-psecret', '--no-tablespaces', $database], "$place/dump.sql");
run(['tar', 'cz', '-C', $site, 'wp-content'], "$place/content.tar.gz");
run(['gzip', '-kf', "$place/dump.sql"], '/dev/null');
echo shell_exec('du -sh ' . escapeshellarg($place));
echo shell_exec('df -h / | tail -n 1; which convert; php --version | head -n 1');
file_put_contents("$site/.maintenance", '<?php $upgrading = ' . time() . ';');
passthru('find ' . escapeshellarg("$site/wp-content") . ' -name "*.tmp" -delete');
unlink("$site/.maintenance");
foreach (glob("$place/*") as $file) {
    echo basename($file), ' ', filesize($file), "\n";
}
