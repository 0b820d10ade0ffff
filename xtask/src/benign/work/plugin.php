<?php
/**
 * Plugin Name: Greeting
 * Description: Says hello at the end of each page.
 * Version: 1.0
 */
defined('ABSPATH') || exit;
add_action('wp_footer', function () {
    echo '<p>', esc_html(require __DIR__ . '/words.php'), ' from the plug-in</p>';
});
add_action('init', function () {
    if (!get_transient('greeting_disk')) {
        // Many a plug-in for backups or pictures looks for its tools like this.
        $tool = trim((string) shell_exec('command -v convert'));
        set_transient('greeting_disk', $tool, 3600);
    }
});
